"""How long the blob worker's care for one upload keeps the others waiting."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from streambackup.blobs.assembly import HELD_BYTES_MAX
from streambackup.blobs.loose import LooseBlobs, clear_incoming
from streambackup.bus.port import Outgoing, Record, TopicPartition, TopicSpec
from streambackup.domain.digest import digest_of
from streambackup.errors import BusError
from streambackup.events.blob import Chunk, Reference
from streambackup.events.codec import encode_event
from streambackup.events.topics import BLOBS
from streambackup.journal.life import Life, write_life
from streambackup.realtime.blob_worker import (
    READ_AGAIN_RECORDS,
    READ_AGAIN_S,
    BlobWorker,
    BlobWorkerSettings,
)
from streambackup.realtime.takeover import Takeover
from streambackup.realtime.turn import Turn
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
        self.away = 0  # For so many readings.

    async def read(
        self, partition: TopicPartition, offset: int, *, records_max: int
    ) -> Sequence[Record]:
        self.readings += 1
        self._time.advance(ms=int(READ_AGAIN_S * 1000))
        if self.away:
            self.away -= 1
            raise BusError("the brokers cannot be reached")
        return await super().read(partition, offset, records_max=records_max)

    def records(self, offset: int) -> Sequence[Record]:
        return self._partitions[PARTITION].read(PARTITION, offset, 1_000_000)


def chunk(begin: int, end: int, content: bytes = SLOW) -> Outgoing:
    digest = digest_of(content)
    event = Chunk(
        schema=1,
        digest=digest,
        upload="slow",
        offset=begin,
        total=len(content),
        data=content[begin:end],
    )
    return Outgoing(BLOBS, digest.encode(), encode_event(event))


def others(count: int) -> list[Outgoing]:
    digest = digest_of(b"another")
    event = encode_event(Reference(schema=1, digest=digest, size=7))
    return [Outgoing(BLOBS, digest.encode(), event)] * count


class Rig:
    """A blob worker with one turn, whose loop the test is."""

    def __init__(
        self, root: Path, bus: SlowBus, worker: BlobWorker, turn: Turn, metrics: Metrics
    ) -> None:
        self.blobs = LooseBlobs(root)
        self.bus = bus
        self.worker = worker
        self.turn = turn
        self.position = worker.began(turn, 0)
        self._metrics = metrics

    def take(self) -> None:
        """A batch of all that the bus has."""
        records = self.bus.records(self.position)
        assert self.worker.take([(self.turn, records)]) == []
        self.position = records[-1].offset + 1

    def pending(self) -> float:
        """What is shown of uploads that wait for their rest."""
        text = self._metrics.exposition().decode()
        families = {family.name: family for family in text_string_to_metric_families(text)}
        return families["streambackup_pending_uploads"].samples[0].value

    async def tick(self) -> int:
        """Returns how often it read the bus."""
        before = self.bus.readings
        assert await self.worker.tick([self.turn]) == []
        return self.bus.readings - before


@pytest.fixture
def give_up_bytes() -> int:
    return 1_000


@pytest.fixture
async def rig(tmp_path: Path, give_up_bytes: int) -> AsyncIterator[Rig]:
    clock, disk, metrics = ManualClock(), Disk(), Metrics()
    make_store(tmp_path)
    write_life(tmp_path, LIFE, disk)
    bus = SlowBus(clock)
    await bus.create([TopicSpec(name=BLOBS, partitions=1, retention_ms=-1)])
    takeover = Takeover(root=tmp_path, bus=bus, disk=disk, clock=clock, identity=identity())
    turn = Turn(PARTITION, await takeover.take(PARTITION, BLOBS, LIFE))
    with ThreadPoolExecutor(2) as threads:
        worker = BlobWorker(
            root=tmp_path,
            state=tmp_path,
            disk=disk,
            clock=clock,
            settings=BlobWorkerSettings(give_up_bytes=give_up_bytes),
            metrics=metrics,
            threads=threads,
            bus=bus,
        )
        yield Rig(tmp_path, bus, worker, turn, metrics)
        await worker.ended([turn], drained=True)


async def test_an_upload_is_read_again_a_piece_at_a_time_and_batches_go_on_meanwhile(
    rig: Rig,
) -> None:
    rig.bus.publish([chunk(0, 4), *others(READ_AGAIN_RECORDS * PIECES)])
    rig.take()
    assert rig.pending() == 0  # Given up.
    rig.bus.publish([chunk(4, 8)])
    rig.take()
    assert rig.pending() == 1
    held = rig.turn.owner.position

    readings = [await rig.tick(), await rig.tick()]
    rig.bus.publish([*others(50), chunk(8, len(SLOW))])
    rig.take()
    assert rig.turn.owner.position == held
    while not rig.blobs.exists(digest_of(SLOW)):
        readings.append(await rig.tick())

    assert readings == [1] * (PIECES + 1)
    assert rig.turn.owner.position == rig.position
    assert rig.blobs.read(digest_of(SLOW)) == SLOW


async def test_chunks_that_a_batch_is_to_bring_are_not_taken_while_their_upload_is_read_again(
    rig: Rig,
) -> None:
    rig.bus.publish([chunk(0, 2), *others(READ_AGAIN_RECORDS)])
    rig.take()
    rig.bus.publish([chunk(2, 4)])
    rig.take()
    rig.bus.publish([chunk(4, 6), chunk(6, 8)])  # On the bus already, in no batch yet.
    readings = [await rig.tick(), await rig.tick(), await rig.tick()]

    rig.take()
    rig.bus.publish([chunk(8, len(SLOW))])
    rig.take()

    assert readings == [1, 1, 0]
    assert rig.blobs.read(digest_of(SLOW)) == SLOW


@pytest.mark.parametrize("give_up_bytes", [1 << 30])
async def test_a_turn_whose_files_a_newer_owner_took_is_over_and_the_process_goes_on(
    rig: Rig, tmp_path: Path
) -> None:
    big, at = bytes(HELD_BYTES_MAX + 1), HELD_BYTES_MAX // 2
    rig.bus.publish([chunk(0, at, big)])
    rig.take()
    clear_incoming(tmp_path, lambda _: True, Disk())
    rig.bus.publish([chunk(at, 2 * at, big)])
    (outcome,) = rig.worker.take([(rig.turn, rig.bus.records(rig.position))])
    assert outcome.turn is rig.turn
    assert "taken away" in str(outcome.superseded)
    assert rig.turn.owner.position == 0
    assert not rig.blobs.exists(digest_of(big))


async def test_nothing_waits_for_a_bus_that_is_away_when_an_upload_is_to_be_read_again(
    rig: Rig,
) -> None:
    rig.bus.publish([chunk(0, 4), *others(READ_AGAIN_RECORDS // 2)])
    rig.take()
    rig.bus.publish([chunk(4, len(SLOW))])
    rig.take()
    rig.bus.away = 2

    readings = [await rig.tick(), await rig.tick()]
    assert not rig.blobs.exists(digest_of(SLOW))
    readings += [await rig.tick(), await rig.tick()]

    assert readings == [1, 1, 1, 0]
    assert rig.blobs.read(digest_of(SLOW)) == SLOW
