"""Of what was set aside others are told once it is durable here, once more after a crash."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from streambackup.bus.port import Record, TopicPartition, TopicSpec
from streambackup.errors import BusError, TopicError
from streambackup.events.mailbox import Put
from streambackup.events.notice import Notice
from streambackup.events.topics import BLOBS, QUARANTINE, TRANSACTIONS
from streambackup.journal.frame import FrameKind, LastRecord
from streambackup.journal.noticed import noticed_to
from streambackup.journal.owner import PartitionOwner, inherit
from streambackup.journal.payload import Blobs, Quarantined, encode_payload
from streambackup.journal.segment import PartitionPath
from streambackup.realtime.notices import AT_ONCE_RECORDS, Notices, NoticeTopic
from streambackup.runtime.disk import Disk
from streambackup.runtime.metrics import Metrics
from streambackup.testing.events import ACCOUNT, GENERATION, TIME_MS, PartitionLog, put
from streambackup.testing.memory_bus import MemoryBus, MemoryProducer
from streambackup.testing.partition_store import PartitionStore, identity
from tests.support.manual_clock import ManualClock

KEY = ACCOUNT.encode()
PARTITIONS = 3


class Bus(MemoryBus):
    """Away as often as is said."""

    away = 0

    async def producer(self) -> MemoryProducer:
        if self.away:
            self.away -= 1
            raise BusError("the brokers cannot be reached")
        return await super().producer()


@pytest.fixture
async def bus() -> Bus:
    bus = Bus(clock=ManualClock())
    await bus.create([TopicSpec(name=QUARANTINE, partitions=PARTITIONS, retention_ms=-1)])
    return bus


async def topic_now() -> NoticeTopic:
    return NoticeTopic(QUARANTINE, PARTITIONS)


def notices_of(bus: Bus, *owners: PartitionOwner, metrics: Metrics | None = None) -> Notices:
    """As a new process has them."""
    metrics = metrics or Metrics()
    return Notices(bus=bus, topic=topic_now, owners=lambda: owners, disk=Disk(), metrics=metrics)


async def on_bus(bus: Bus) -> list[Record]:
    found: list[Record] = []
    for partition in range(PARTITIONS):
        found += await bus.read(TopicPartition(QUARANTINE, partition), 0, records_max=10_000)
    return found


def decoded(records: Sequence[Record]) -> list[Notice]:
    return [msgspec.json.decode(record.value or b"", type=Notice) for record in records]


def good(number: int) -> Put:
    return put(f"m{number}", number, folder="f")


class Filing:
    """A partition that is journalled and filed as more comes."""

    def __init__(self, root: Path) -> None:
        self.store = PartitionStore(root)
        self.log = PartitionLog()

    def file(self, *keys: bytes | None) -> PartitionOwner:
        """A new owner journals and files a good record, then bad ones under *keys*."""
        self.log.add(good(len(self.log.records) + 1))
        for key in keys:
            self.log.add_raw(key, b"junk", TIME_MS + 7)
        owner = self.store.own()
        self.store.journal(owner, self.log.records)
        self.store.file(owner)
        return owner


async def test_a_notice_tells_where_the_record_stands_and_why(tmp_path: Path, bus: Bus) -> None:
    owner = Filing(tmp_path).file(KEY)
    metrics = Metrics()
    await notices_of(bus, owner, metrics=metrics).publish()

    (record,) = await on_bus(bus)
    (notice,) = decoded([record])
    assert record.key == KEY
    assert notice == Notice(
        schema=1,
        id=f"{TRANSACTIONS}/{GENERATION}/0/1",
        topic=TRANSACTIONS,
        generation=GENERATION,
        partition=0,
        offset=1,
        published_ms=TIME_MS + 7,
        size=4,
        reason="not an event: the value begins like neither a JSON object nor a MessagePack map",
    )
    assert b"streambackup_notices_total 1.0" in metrics.exposition()
    assert b"streambackup_notices_waiting 0.0" in metrics.exposition()


@pytest.mark.parametrize("key", [None, b"x" * 5000])
async def test_a_record_without_a_key_of_use_has_its_notice_under_none(
    tmp_path: Path, bus: Bus, key: bytes | None
) -> None:
    await notices_of(bus, Filing(tmp_path).file(key)).publish()

    (record,) = await on_bus(bus)
    assert record.key is None


async def test_each_is_published_once_by_one_owner_after_the_other(
    tmp_path: Path, bus: Bus
) -> None:
    filing = Filing(tmp_path)
    notices = notices_of(bus, filing.file(KEY))
    await notices.publish()
    await notices.publish()
    for _ in range(2):
        await notices_of(bus, filing.file(KEY, KEY)).publish()

    assert [notice.offset for notice in decoded(await on_bus(bus))] == [1, 3, 4, 6, 7]


async def test_an_owner_tells_what_it_files_while_it_is_at_work(tmp_path: Path, bus: Bus) -> None:
    filing = Filing(tmp_path)
    owner = filing.file(KEY)
    notices = notices_of(bus, owner)
    await notices.publish()
    filing.log.add_raw(KEY, b"junk")
    filing.store.journal(owner, filing.log.records)
    filing.store.file(owner)
    await notices.publish()

    assert [notice.offset for notice in decoded(await on_bus(bus))] == [1, 2]


async def test_killed_between_publishing_and_its_mark_it_says_the_same_again(
    tmp_path: Path, bus: Bus
) -> None:
    filing = Filing(tmp_path)
    owner = filing.file(KEY, KEY)
    await notices_of(bus, owner).publish()
    (tmp_path / "journal").joinpath(*_mark(owner)).unlink()
    await notices_of(bus, filing.file()).publish()

    first, second, *again = await on_bus(bus)
    assert [(r.key, r.value) for r in again] == [(r.key, r.value) for r in (first, second)]


def _mark(owner: PartitionOwner) -> tuple[str, ...]:
    return (GENERATION, TRANSACTIONS, "0", f"{owner.epoch}.noticed")


async def test_a_damaged_mark_counts_as_none(tmp_path: Path, bus: Bus) -> None:
    owner = Filing(tmp_path).file(KEY)
    await notices_of(bus, owner).publish()
    assert noticed_to(owner.path) == 2
    file = (tmp_path / "journal").joinpath(*_mark(owner))
    file.write_bytes(file.read_bytes().replace(b"2", b"9", 1))

    assert noticed_to(owner.path) == 0


async def test_more_than_fits_into_a_batch_is_published_batch_by_batch(
    tmp_path: Path, bus: Bus
) -> None:
    count = 2 * AT_ONCE_RECORDS + 7
    await notices_of(bus, Filing(tmp_path).file(*[KEY] * count)).publish()

    offsets = [notice.offset for notice in decoded(await on_bus(bus))]
    assert offsets == list(range(1, count + 1))


async def test_while_the_topic_cannot_be_written_they_wait_and_say_so(tmp_path: Path) -> None:
    bus = Bus(clock=ManualClock())
    metrics = Metrics()
    notices = notices_of(bus, Filing(tmp_path).file(KEY), metrics=metrics)
    with pytest.raises(TopicError):
        await notices.publish()
    assert b"streambackup_notices_waiting 1.0" in metrics.exposition()

    await bus.create([TopicSpec(name=QUARANTINE, partitions=PARTITIONS, retention_ms=-1)])
    bus.away = 1
    with pytest.raises(BusError):
        await notices.publish()
    await notices.publish()

    assert [notice.offset for notice in decoded(await on_bus(bus))] == [1]
    assert b"streambackup_notices_waiting 0.0" in metrics.exposition()


async def test_its_failure_is_told_and_ends_nothing(tmp_path: Path) -> None:
    stop = asyncio.Event()
    owner = Filing(tmp_path).file(KEY)

    def owners() -> list[PartitionOwner]:
        stop.set()
        return [owner]

    bus = Bus(clock=ManualClock())
    notices = Notices(bus=bus, topic=topic_now, owners=owners, disk=Disk(), metrics=Metrics())
    await notices.run(stop)

    assert notices.failure == "topic mailbox.quarantine does not exist"


class BlobJournal:
    """A blob partition whose owner sets records aside."""

    def __init__(self, root: Path) -> None:
        PartitionStore(root)  # The store around it.
        self.path = PartitionPath(root, GENERATION, BLOBS, 0)

    def own(self) -> PartitionOwner:
        cover, epoch, _ = inherit(self.path, Disk())
        return PartitionOwner(self.path, Disk(), identity(), epoch, cover)

    def append(self, owner: PartitionOwner, to: int, *offsets: int) -> None:
        aside = [
            Quarantined(at, TIME_MS, "the content is other", b"digest", b"x") for at in offsets
        ]
        frame = encode_payload(Blobs([], [], [], aside))
        owner.append(FrameKind.BLOBS, frame, to, LastRecord(1, TIME_MS))


async def test_what_blob_workers_set_aside_is_told_too(tmp_path: Path, bus: Bus) -> None:
    journal = BlobJournal(tmp_path)
    owner = journal.own()
    journal.append(owner, 5, 2, 4)
    notices = notices_of(bus, owner)
    await notices.publish()
    journal.append(owner, 5, 7)  # The position is held by an upload.
    await notices.publish()
    owner.seal()
    journal.append(owner, 9)
    journal.append(owner, 12, 10)
    await notices.publish()

    found = decoded(await on_bus(bus))
    assert [notice.offset for notice in found] == [2, 4, 7, 10]
    assert {notice.topic for notice in found} == {BLOBS}


async def test_the_next_owner_of_blobs_tells_what_its_predecessor_did_not(
    tmp_path: Path, bus: Bus
) -> None:
    journal = BlobJournal(tmp_path)
    first = journal.own()
    journal.append(first, 5, 2)
    await notices_of(bus, first).publish()
    journal.append(first, 8, 6)
    second = journal.own()
    journal.append(second, 12, 9)
    await notices_of(bus, second).publish()
    ids = [notice.id for notice in decoded(await on_bus(bus))]

    assert {id.rpartition("/")[2] for id in ids} == {"2", "6", "9"}


async def test_a_torn_end_is_read_again_when_it_is_whole(tmp_path: Path, bus: Bus) -> None:
    journal = BlobJournal(tmp_path)
    owner = journal.own()
    journal.append(owner, 5, 2)
    journal.append(owner, 8, 6)
    assert owner.segment is not None
    file = journal.path.path_of(owner.segment)
    whole = file.read_bytes()
    file.write_bytes(whole[:-3])
    notices = notices_of(bus, owner)
    await notices.publish()
    before = [notice.offset for notice in decoded(await on_bus(bus))]
    file.write_bytes(whole)
    await notices.publish()

    assert before == [2]
    assert [notice.offset for notice in decoded(await on_bus(bus))] == [2, 6]
