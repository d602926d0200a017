"""How long the blob worker's care for one upload keeps the others waiting."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from streambackup.blobs.loose import LooseBlobs
from streambackup.bus.port import Outgoing, Record, TopicPartition, TopicSpec
from streambackup.domain.digest import digest_of
from streambackup.events.blob import Chunk, Reference
from streambackup.events.codec import encode_event
from streambackup.journal.life import Life, write_life
from streambackup.realtime.blob_worker import (
    BLOBS,
    READ_AGAIN_RECORDS,
    READ_AGAIN_S,
    BlobWorker,
    BlobWorkerSettings,
)
from streambackup.realtime.stream_worker import Turn
from streambackup.realtime.takeover import Takeover
from streambackup.runtime.disk import Disk
from streambackup.runtime.metrics import Metrics
from streambackup.testing.events import GENERATION
from streambackup.testing.memory_bus import MemoryBus
from streambackup.testing.partition_store import identity, make_store
from tests.support.manual_clock import ManualClock

LIFE = Life(
    generation=GENERATION,
    number=1,
    predecessor=None,
    partitions=1,
    blob_partitions=1,
    transactions_topic="mailbox.transactions",
    blobs_topic=BLOBS,
)
PARTITION = TopicPartition(BLOBS, 0)
SLOW = b"slow upload"
PIECES = 5


class SlowBus(MemoryBus):
    """Takes as long for each reading as may be spent on it between two batches."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock=clock)
        self._time = clock
        self.readings = 0

    async def read(
        self, partition: TopicPartition, offset: int, *, records_max: int
    ) -> Sequence[Record]:
        self.readings += 1
        self._time.advance(ms=int(READ_AGAIN_S * 1000))
        return await super().read(partition, offset, records_max=records_max)

    def records(self, offset: int) -> Sequence[Record]:
        return self._partitions[PARTITION].read(PARTITION, offset, 1_000_000)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as threads:
        yield threads


def chunk(begin: int, end: int) -> Outgoing:
    digest = digest_of(SLOW)
    event = Chunk(
        schema=1,
        digest=digest,
        upload="slow",
        offset=begin,
        total=len(SLOW),
        data=SLOW[begin:end],
    )
    return Outgoing(BLOBS, digest.encode(), encode_event(event))


def others(count: int) -> list[Outgoing]:
    digest = digest_of(b"another")
    event = encode_event(Reference(schema=1, digest=digest, size=7))
    return [Outgoing(BLOBS, digest.encode(), event)] * count


async def test_an_upload_is_read_again_a_piece_at_a_time_and_batches_go_on_meanwhile(
    tmp_path: Path, threads: ThreadPoolExecutor
) -> None:
    clock, disk = ManualClock(), Disk()
    make_store(tmp_path)
    write_life(tmp_path, LIFE, disk)
    (tmp_path / "state").mkdir(exist_ok=True)
    bus = SlowBus(clock)
    await bus.create([TopicSpec(name=BLOBS, partitions=1, retention_ms=-1)])
    worker = BlobWorker(
        root=tmp_path,
        state=tmp_path / "state",
        disk=disk,
        clock=clock,
        settings=BlobWorkerSettings(give_up_bytes=1_000),
        metrics=Metrics(),
        threads=threads,
        bus=bus,
    )
    takeover = Takeover(root=tmp_path, bus=bus, disk=disk, clock=clock, identity=identity())
    taken = await takeover.take(PARTITION, BLOBS, LIFE)
    turn = Turn(PARTITION, taken)
    position = worker.began(turn, taken.filed_to)

    def take() -> None:
        nonlocal position
        records = bus.records(position)
        assert worker.take([(turn, records)]) == []
        position = records[-1].offset + 1

    bus.publish([chunk(0, 4), *others(READ_AGAIN_RECORDS * PIECES)])
    take()
    assert worker.pending_uploads() == []  # Given up.
    bus.publish([chunk(4, 8)])
    take()
    held = turn.owner.position
    readings = []
    while LooseBlobs(tmp_path).exists(digest_of(SLOW)) is False:
        before = bus.readings
        assert await worker.tick([turn]) == []
        readings.append(bus.readings - before)
        if len(readings) == 2:
            bus.publish([*others(50), chunk(8, len(SLOW))])
        if len(readings) == 3:
            take()
            assert turn.owner.position == held
    await worker.ended([turn], drained=True)

    assert readings == [1] * (PIECES + 1)
    assert turn.owner.position == position
    assert LooseBlobs(tmp_path).read(digest_of(SLOW)) == SLOW
