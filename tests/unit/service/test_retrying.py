"""Retrying: what this release can use is published again as it was, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from streambackup.bus.port import TopicPartition, TopicSpec
from streambackup.domain.digest import digest_of
from streambackup.domain.origin import Origin
from streambackup.events.blob import BlobEvent, Chunk, Reference
from streambackup.events.codec import decode_mailbox_event, encode_event
from streambackup.events.mailbox import MailboxEvent
from streambackup.events.topics import BLOBS, TRANSACTIONS
from streambackup.outbox.content import Topics
from streambackup.outbox.stream import Stream
from streambackup.reading.set_aside import SetAside, set_aside_records
from streambackup.service.retrying import Outcome, Retried, Retrying, judge_content
from streambackup.testing.events import (
    ACCOUNT,
    GENERATION,
    TIME_MS,
    account_delete,
    delete,
    empty_folder,
    folder_delete,
    marker,
    put,
)
from streambackup.testing.fixed_stream import FixedStream
from streambackup.testing.memory_bus import MemoryBus
from streambackup.testing.partition_store import PartitionStore
from tests.support.aside import JUNK, aged_store, go_on, values
from tests.support.manual_clock import ManualClock

NEXT = Topics(generation="00000000000000bb", transactions=TRANSACTIONS, blobs=BLOBS)
OPEN = FixedStream(NEXT)
FIRST = put("m1", 1, folder="f")
ASIDE = put("m2", 2, folder="f", time_ms=TIME_MS + 1_000)
CONTENT = b"whole"
DIGEST = digest_of(CONTENT)


class ClosingStream(FixedStream):
    """Its topics close once while somebody publishes, and others open."""

    def __init__(self, before: Topics, after: Topics) -> None:
        super().__init__(before)
        self._after = after

    async def is_at(self, topics: Topics) -> bool:
        self._topics = self._after
        return await super().is_at(topics)


async def retried(
    store: PartitionStore, *, dry_run: bool = False, stream: Stream = OPEN
) -> tuple[list[Retried], list[MailboxEvent]]:
    """What became of everything in quarantine, and what was published for it."""
    bus = MemoryBus(clock=ManualClock())
    await bus.create([TopicSpec(name=TRANSACTIONS, partitions=1, retention_ms=-1)])
    retrying = Retrying(bus, stream, store.reader())
    records = set_aside_records(store.root)
    told = [one async for one in retrying.retry(records, dry_run=dry_run)]
    on_bus = await bus.read(TopicPartition(TRANSACTIONS, 0), 0, records_max=100)
    assert {record.key for record in on_bus} <= {ACCOUNT.encode()}
    return told, [decode_mailbox_event(record.value) for record in on_bus]


async def test_a_transaction_is_published_again_under_its_own_id(tmp_path: Path) -> None:
    store, _ = aged_store(tmp_path, [FIRST], values(ASIDE))
    (told,), published = await retried(store)

    assert (told.outcome, told.transaction) == (Outcome.PUBLISHED, "test:00000001:2")
    assert told.id == f"{TRANSACTIONS}/{GENERATION}/0/1"
    assert published == [msgspec.structs.replace(ASIDE, generation=NEXT.generation)]


async def test_what_came_behind_an_end_is_published_again_where_the_stream_goes_on(
    tmp_path: Path,
) -> None:
    store, _ = aged_store(tmp_path, [FIRST], values(ASIDE))
    stream = ClosingStream(msgspec.structs.replace(NEXT, generation="00000000000000ba"), NEXT)
    _, published = await retried(store, stream=stream)

    assert [event.generation for event in published] == ["00000000000000ba", NEXT.generation]
    assert published == [
        msgspec.structs.replace(ASIDE, generation=event.generation) for event in published
    ]


async def test_a_dry_run_publishes_nothing(tmp_path: Path) -> None:
    store, _ = aged_store(tmp_path, [FIRST], values(ASIDE))
    (told,), published = await retried(store, dry_run=True)

    assert (told.outcome, published) == (Outcome.READY, [])


async def test_what_came_otherwise_is_not_published_again(tmp_path: Path) -> None:
    store, log = aged_store(tmp_path, [FIRST], values(ASIDE))
    go_on(store, log, ASIDE)
    (told,), published = await retried(store)

    assert (told.outcome, published) == (Outcome.CAME, [])


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (empty_folder("f", 2), "more than one item"),
        (folder_delete("f", 2), "more than one item"),
        (account_delete(2), "more than one item"),
        (marker(), "more than one item"),
        (put("m2", 2, account="bert", folder="f"), "key is not the event's account"),
    ],
)
async def test_what_may_not_come_so_much_later_stays(
    tmp_path: Path, event: MailboxEvent, reason: str
) -> None:
    store, _ = aged_store(tmp_path, [FIRST], values(event))
    (told,), published = await retried(store)

    assert (told.outcome, published) == (Outcome.UNUSABLE, [])
    assert reason in (told.reason or "")


async def test_what_no_release_can_read_stays(tmp_path: Path) -> None:
    store, _ = aged_store(tmp_path, [FIRST], [JUNK])
    (told,), published = await retried(store)

    assert (told.outcome, published) == (Outcome.UNUSABLE, [])
    assert "not an event" in (told.reason or "")


async def test_an_older_change_does_not_take_back_another_sources_newer_one(
    tmp_path: Path,
) -> None:
    newer = put("m2", 1, source="scan", folder="g", time_ms=TIME_MS + 5_000)
    store, _ = aged_store(tmp_path, [FIRST], values(delete("m2", 2)), [newer])
    (told,), published = await retried(store)

    assert (told.outcome, published) == (Outcome.UNUSABLE, [])
    assert "scan:00000001:1 has changed the item since" in (told.reason or "")


def content(event: BlobEvent, key: str = DIGEST) -> SetAside:
    origin = Origin(BLOBS, GENERATION, 0, 7)
    return SetAside(origin, TIME_MS, "a reason", key.encode(), encode_event(event))


def chunk(data: bytes = CONTENT, offset: int = 0) -> Chunk:
    return Chunk(schema=1, digest=DIGEST, upload="u", offset=offset, total=len(CONTENT), data=data)


REFERENCE = Reference(schema=1, digest=DIGEST, size=len(CONTENT))


@pytest.mark.parametrize("event", [chunk(), REFERENCE])
def test_a_whole_content_and_a_reference_are_published_again(event: BlobEvent) -> None:
    told, record = judge_content(content(event), is_stored=False)

    assert told.outcome is Outcome.READY
    assert record is not None
    assert (record.topic, record.key) == (BLOBS, DIGEST.encode())


def test_content_that_is_stored_is_not_published_again() -> None:
    told, record = judge_content(content(chunk()), is_stored=True)

    assert (told.outcome, record) == (Outcome.CAME, None)


@pytest.mark.parametrize(
    "record",
    [
        content(chunk(CONTENT[2:], 2)),
        content(chunk(CONTENT[:2])),
        content(chunk(b"other")),
        content(chunk(), key=digest_of(b"another")),
    ],
)
def test_parts_of_content_and_wrong_content_stay(record: SetAside) -> None:
    told, outgoing = judge_content(record, is_stored=False)

    assert (told.outcome, outgoing) == (Outcome.UNUSABLE, None)
