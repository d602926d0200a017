"""The traces that break weaker rules about blobs: when to look,
and what an upload given up is owed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from streambackup.blobs.loose import LooseBlobs
from streambackup.bus.generations import new_generation, specs_of
from streambackup.bus.port import Outgoing, Record, TopicPartition
from streambackup.domain.digest import digest_of
from streambackup.domain.history import ItemState
from streambackup.domain.transaction import Position
from streambackup.errors import BlobMissingError, BlobPendingError, BusError
from streambackup.events.blob import Chunk
from streambackup.events.codec import encode_event
from streambackup.events.topics import BLOBS
from streambackup.journal.life import Life, write_life
from streambackup.journal.owner import StoreIdentity
from streambackup.metadata.store_config import STORE_FILE, StoreConfig, encode_store_config
from streambackup.reading.contents import Contents, Standing
from streambackup.reading.store_reader import StoreReader
from streambackup.realtime.blob_worker import BlobWorker, BlobWorkerSettings
from streambackup.realtime.stream_worker import FetchSettings, StreamWorker
from streambackup.realtime.takeover import Takeover
from streambackup.runtime.clock import SystemClock
from streambackup.runtime.disk import Disk
from streambackup.runtime.metrics import Metrics
from streambackup.testing.memory_bus import MemoryBus

GENERATION = "00000000000000aa"
GIVE_UP_BYTES = 2_000
LIFE = Life(
    generation=GENERATION,
    number=1,
    predecessor=None,
    partitions=1,
    blob_partitions=1,
    transactions_topic="mailbox.transactions",
    blobs_topic=BLOBS,
)


class LeavingBus(MemoryBus):
    """Is away for the next so many times that more than one record is read outside a group."""

    away = 0

    async def read(
        self, partition: TopicPartition, offset: int, *, records_max: int
    ) -> Sequence[Record]:
        if self.away and records_max > 1:
            self.away -= 1
            raise BusError("the brokers cannot be reached")
        return await super().read(partition, offset, records_max=records_max)


class Rig:
    """A blob worker on one partition of a bus in memory, run for as long as there is work."""

    def __init__(self, root: Path, bus: LeavingBus, threads: ThreadPoolExecutor) -> None:
        self.root = root
        self.bus = bus
        self._threads = threads
        self._clock = SystemClock()

    async def publish(self, data: bytes, upload: str, *parts: tuple[int, int]) -> int:
        """The parts (from, to) of one upload; returns the offset of the last."""
        digest = digest_of(data)
        records = []
        for begin, end in parts:
            chunk = Chunk(
                schema=1,
                digest=digest,
                upload=upload,
                offset=begin,
                total=len(data),
                data=data[begin:end],
            )
            records.append(Outgoing(BLOBS, digest.encode(), encode_event(chunk)))
        producer = await self.bus.producer()
        return (await producer.publish(records))[-1].offset

    async def work(self) -> None:
        """Run a new owner until it has read everything, then stop it."""
        settings = BlobWorkerSettings(give_up_bytes=GIVE_UP_BYTES)
        handler = BlobWorker(
            root=self.root,
            state=self.root / "state",
            disk=Disk(),
            clock=self._clock,
            settings=settings,
            metrics=Metrics(),
            threads=self._threads,
            bus=self.bus,
        )
        identity = StoreIdentity(store="s", node="n", moment_ms=100, ignored_attributes=())
        worker = StreamWorker(
            handler,
            bus=self.bus,
            topic=BLOBS,
            group="blobs",
            life=LIFE,
            takeover=Takeover(
                root=self.root, bus=self.bus, disk=Disk(), clock=self._clock, identity=identity
            ),
            settings=FetchSettings(fetch_wait_ms=1),
            clock=self._clock,
            metrics=Metrics(),
        )
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(worker.run(stop))
            group.create_task(self._stop_when_read(stop))

    async def _stop_when_read(self, stop: asyncio.Event) -> None:
        """Nobody announces an acknowledgement, so the bus is asked again and again."""
        ((tp, bounds),) = (await self.bus.bounds([BLOBS])).items()
        while (await self.bus.acknowledged("blobs")).get(tp, 0) < bounds.end:  # noqa: ASYNC110
            await asyncio.sleep(0)
        stop.set()


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    config = StoreConfig(store="s", created_ms=0)
    (tmp_path / STORE_FILE).write_bytes(encode_store_config(config))
    (tmp_path / "state").mkdir()
    write_life(tmp_path, LIFE, Disk())
    bus = LeavingBus(clock=SystemClock())
    await bus.create(specs_of(new_generation(1)))
    with ThreadPoolExecutor(1) as threads:
        yield Rig(tmp_path, bus, threads)


def state_of(data: bytes, offset: int) -> ItemState:
    return ItemState(
        start_ms=0,
        end_ms=None,
        type="message",
        transactions=(),
        state={},
        digest=digest_of(data),
        size=len(data),
        content=Position(GENERATION, 0, offset),
    )


async def test_an_upload_given_up_is_read_again_when_its_rest_comes(rig: Rig) -> None:
    """Breaks "give a slow upload up for good": its last chunk comes later,
    and all of it is there.
    """
    slow, other = b"slow upload", b"x" * (2 * GIVE_UP_BYTES)
    await rig.publish(slow, "slow", (0, 4), (4, 8))
    await rig.publish(other, "other", (0, len(other)))
    await rig.work()
    assert not LooseBlobs(rig.root).exists(digest_of(slow))

    await rig.publish(slow, "slow", (8, len(slow)))
    await rig.work()

    assert LooseBlobs(rig.root).read(digest_of(slow)) == slow


async def test_a_bus_that_is_away_while_an_upload_is_read_again_is_waited_for(rig: Rig) -> None:
    slow, other = b"slow upload", b"x" * (2 * GIVE_UP_BYTES)
    await rig.publish(slow, "slow", (0, 8))
    await rig.publish(other, "other", (0, len(other)))
    await rig.work()
    await rig.publish(slow, "slow", (8, len(slow)))
    rig.bus.away = 1
    await rig.work()

    assert rig.bus.away == 0
    assert LooseBlobs(rig.root).read(digest_of(slow)) == slow


async def test_a_late_chunk_of_content_that_is_stored_is_only_met(rig: Rig) -> None:
    """Two uploads of one digest: when one is stored, the other holds nothing and harms nothing."""
    data = b"sent twice at once"
    await rig.publish(data, "first", (0, 5))
    await rig.publish(data, "second", (0, len(data)))
    await rig.work()
    await rig.publish(data, "first", (5, len(data)))
    await rig.work()

    assert LooseBlobs(rig.root).read(digest_of(data)) == data
    assert (await rig.bus.acknowledged("blobs")).popitem()[1] == 3


async def test_the_position_is_read_before_the_blob_is_looked_for(rig: Rig) -> None:
    """Breaks "look for the blob, then read the position":
    what is stored in between looks missing.
    """
    data = b"arrives while somebody asks"
    offset = await rig.publish(data, "u", (0, len(data)))
    contents = Contents(StoreReader(rig.root))
    before = contents.standing(state_of(data, offset))
    await rig.work()

    assert before is Standing.PENDING
    assert contents.standing(state_of(data, offset)) is Standing.STORED


async def test_pending_and_missing_are_told_apart(rig: Rig) -> None:
    """Behind what the owner has read content is missing, at or beyond it it is pending."""
    data = b"never came"
    other = b"came"
    offset = await rig.publish(other, "other", (0, len(other)))
    contents = Contents(StoreReader(rig.root))
    with pytest.raises(BlobPendingError):
        list(contents.pieces(state_of(data, offset)))

    await rig.work()

    with pytest.raises(BlobMissingError):
        list(Contents(StoreReader(rig.root)).pieces(state_of(data, offset)))
