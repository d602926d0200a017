"""Two releases on one store and one topic: what the one wrote the other goes on with, and what the
next one adds to an event under the same schema number is kept.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from streambackup.bus.port import Outgoing
from streambackup.coherency.check import check_store
from streambackup.domain.finding import FindingClass
from streambackup.events.codec import decode_blob_event, decode_mailbox_event, encode_event
from streambackup.events.mailbox import MailboxEvent, Put
from streambackup.journal.content_checksum import content_checksum
from streambackup.journal.life import LIFE_FILE, read_lives
from streambackup.metadata.account_log import is_merged
from streambackup.metadata.store_config import STORE_FILE
from streambackup.reading.fingerprint import fingerprint, first_difference
from streambackup.realtime.account_worker import SegmentSettings
from streambackup.testing.memory_bus import MemoryRecord
from streambackup.testing.partition_store import TOPIC
from tests.golden.store import ANN, GENERATION, PARTITIONS, TWIN, Author, records
from tests.golden.test_golden import RELEASES
from tests.support.account_service import AccountService

EVENTS = sorted(path for release in RELEASES for path in release.glob("events/*.msgpack"))
ADDED = {"of": ["the", None, "next release", 1.5]}
ROUNDS = 6


def from_the_next_release(data: bytes) -> bytes:
    """An event with fields that this release does not know, in it and in its state."""
    fields = msgspec.msgpack.decode(data)
    if isinstance(fields.get("state"), dict):
        fields["state"]["added"] = ADDED
    return msgspec.msgpack.encode({"added": ADDED, **fields, "added_last": 1})


@pytest.mark.parametrize("event", EVENTS, ids=lambda path: path.stem)
def test_what_the_next_release_adds_to_an_event_is_no_reason_to_refuse_it(event: Path) -> None:
    decode = (
        decode_blob_event if event.name.startswith(("chunk", "reference")) else decode_mailbox_event
    )
    known, newer = decode(event.read_bytes()), decode(from_the_next_release(event.read_bytes()))

    if isinstance(known, Put):
        assert isinstance(newer, Put)
        assert newer.state == {**known.state, "added": ADDED}
        newer = msgspec.structs.replace(newer, state=known.state)
    assert newer == known


@pytest.mark.parametrize("event", EVENTS, ids=lambda path: path.stem)
def test_two_releases_find_the_same_content_checksum(event: Path) -> None:
    """Else what is sent again would be folded twice, depending on who reads it."""
    if not event.name.startswith(("chunk", "reference")):
        known = decode_mailbox_event(event.read_bytes())
        fields = {"added": ADDED, **msgspec.msgpack.decode(event.read_bytes())}
        newer = decode_mailbox_event(msgspec.msgpack.encode(fields))

        assert content_checksum(newer) == content_checksum(known)


def later_mail() -> Iterator[MailboxEvent]:
    for account in (ANN, TWIN):
        author = Author(account, "later")
        for number in range(2 * ROUNDS):
            yield author.put(f"{10 + number % 3}", 9_000 + 40 * number, folder="1", number=number)


def topic() -> list[tuple[int, MemoryRecord]]:
    """What the other release had read, and behind it what comes while workers are replaced."""
    found = [(number, one) for number, partition in enumerate(records()) for one in partition]
    last_ms = max(one.timestamp for _, one in found)
    for at, event in enumerate(later_mail(), 1):
        assert event.account is not None
        value = encode_event(event)
        value = from_the_next_release(value) if at % 2 else value
        found.append((-1, MemoryRecord(0, event.account.encode(), value, last_ms + at)))
    return found


def service_in(root: Path, store: Path, names: Sequence[str]) -> AccountService:
    """An account service in a copy of so much of *store*."""
    service = AccountService(
        root,
        partitions=PARTITIONS,
        segments=SegmentSettings(segment_bytes=400, segment_retention_ms=0, logs_max=1),
    )
    shutil.rmtree(root / "journal")
    for name in names:
        source = store / name
        if source.is_dir():
            shutil.copytree(source, root / name)
        else:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, root / name)
    (service.life,) = read_lives(root)
    return service


def publish(service: AccountService, published: Sequence[tuple[int, MemoryRecord]]) -> None:
    for partition, record in published:
        service.clock.advance(ms=record.timestamp - service.clock.now_ms())
        place = None if partition < 0 else partition
        service.bus.publish([Outgoing(TOPIC, record.key, record.value, place)])


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.name)
async def test_workers_that_take_over_from_another_release_get_to_the_same_store(
    release: Path, tmp_path: Path
) -> None:
    """The other release left half of it filed and half of it journalled; workers of this one follow
    each other, told to end or killed, while records of the next release arrive.
    """
    everything = topic()
    old, new = everything[: -4 * ROUNDS], everything[-4 * ROUNDS :]
    store = release / "store"
    service = service_in(
        tmp_path / "rolled" / "store", store, [STORE_FILE, "journal", "accounts", "items"]
    )
    await service.create()
    publish(service, old)
    for round_ in range(ROUNDS):
        arriving = iter([new[4 * round_ : 4 * round_ + 4]])

        def more(arriving: Iterator[list[tuple[int, MemoryRecord]]] = arriving) -> None:
            publish(service, next(arriving, []))

        assert await service.work(more, drain=round_ % 2 == 0) is None
    replay = service_in(
        tmp_path / "replayed" / "store", store, [STORE_FILE, f"journal/{GENERATION}/{LIFE_FILE}"]
    )
    await replay.create()
    publish(replay, everything)
    assert await replay.work() is None

    rolled, replayed = service.reader(), replay.reader()
    assert first_difference(rolled, replayed) is None
    assert fingerprint(rolled) == fingerprint(replayed)
    faults = {fault.finding for fault in check_store(service.root).faults}
    assert faults <= {FindingClass.MISSING_BLOB}
    logs = list(service.root.glob("accounts/*/*/*.jsonl"))
    assert any(map(is_merged, logs))
    states = rolled.history(ANN).items["10"].states
    assert [state.state["added"] for state in states if "added" in state.state] == [ADDED] * 2
