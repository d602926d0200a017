"""What the embedded bus forgets: only what everybody passed, and only later or if there is much."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from streambackup.bus.embedded import EmbeddedBus, Limits
from streambackup.bus.embedded.folder import TIDY_INTERVAL_S
from streambackup.bus.port import Outgoing, TopicPartition, TopicSpec
from tests.contract.bus_rig import Owner
from tests.support.manual_clock import ManualClock

TOPIC = "mailbox.test"
ZERO, ONE = TopicPartition(TOPIC, 0), TopicPartition(TOPIC, 1)
DAY_MS = 24 * 3600 * 1000
MIB = 1024 * 1024


class Store:
    """A bus with one topic of two partitions, and groups that acknowledge."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.clock = ManualClock()
        self.bus = EmbeddedBus(folder, clock=self.clock, limits=limits)
        self._folder = folder

    async def create(self, *, retention_ms: int = DAY_MS) -> None:
        spec = TopicSpec(name=TOPIC, partitions=2, retention_ms=retention_ms)
        await self.bus.create([spec])

    async def publish(self, count: int, *, size: int = 10, partition: int = 0) -> None:
        """Each record by itself, so that each may go by itself."""
        producer = await self.bus.producer()
        for _ in range(count):
            await producer.publish([Outgoing(TOPIC, b"k", bytes(size), partition)])
        await producer.close()

    async def acknowledge(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """As a worker does after each batch, until there is nothing left to tidy."""
        consumer = await self.bus.consumer([TOPIC], group=group, ownership=Owner())
        for _ in range(20):
            await consumer.acknowledge(offsets)
        await consumer.close()

    async def begins(self) -> tuple[int, int]:
        bounds = await self.bus.bounds([TOPIC])
        return bounds[ZERO].begin, bounds[ONE].begin

    def size(self) -> int:
        return sum(path.stat().st_size for path in self._folder.iterdir())

    def tick(self, ms: int = int(TIDY_INTERVAL_S * 1000)) -> None:
        self.clock.advance(ms=ms)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(tmp_path / "bus", Limits())
    await store.create()
    yield store
    await store.bus.close()


@pytest.fixture
async def small_store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(tmp_path / "bus", Limits(bytes_max=4 * MIB, spare_bytes=MIB))
    await store.create()
    yield store
    await store.bus.close()


async def test_nothing_goes_while_nobody_acknowledged(store: Store) -> None:
    await store.publish(3)
    store.tick(30 * DAY_MS)
    await store.acknowledge("workers", {})
    assert await store.begins() == (0, 0)


async def test_what_was_passed_goes_two_days_later(store: Store) -> None:
    await store.publish(5)
    await store.acknowledge("workers", {ZERO: 3})
    store.tick(2 * DAY_MS - 1)
    await store.acknowledge("workers", {ZERO: 5})
    assert await store.begins() == (0, 0)
    store.tick()
    await store.acknowledge("workers", {ZERO: 5})
    assert await store.begins() == (3, 0)
    store.tick(2 * DAY_MS)
    await store.acknowledge("workers", {ZERO: 5})
    assert await store.begins() == (5, 0)


async def test_the_slowest_group_decides(store: Store) -> None:
    await store.publish(5)
    await store.publish(5, partition=1)
    await store.acknowledge("fast", {ZERO: 5, ONE: 5})
    store.tick()
    await store.acknowledge("slow", {ZERO: 2})
    store.tick(3 * DAY_MS)
    await store.acknowledge("fast", {ZERO: 5})
    assert await store.begins() == (2, 0)


async def test_too_much_goes_at_once_but_only_what_was_passed(small_store: Store) -> None:
    store = small_store
    await store.publish(20, size=MIB // 2)
    store.tick()
    await store.acknowledge("workers", {ZERO: 4})
    assert await store.begins() == (4, 0)
    store.tick()
    await store.acknowledge("workers", {ZERO: 20})
    assert await store.begins() == (20, 0)


async def test_little_stays_for_its_two_days(small_store: Store) -> None:
    store = small_store
    await store.publish(4, size=MIB // 2)
    await store.acknowledge("workers", {ZERO: 4})
    assert await store.begins() == (0, 0)


async def test_emptied_space_is_given_back(small_store: Store) -> None:
    store = small_store
    await store.publish(40, size=MIB)
    full = store.size()
    await store.acknowledge("workers", {ZERO: 40})
    await store.bus.close()
    assert store.size() < 6 * MIB < 40 * MIB <= full


async def test_a_topic_kept_for_ever_loses_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "bus", Limits(bytes_max=0))
    await store.create(retention_ms=-1)
    await store.publish(3)
    await store.acknowledge("workers", {ZERO: 3})
    store.tick(30 * DAY_MS)
    await store.acknowledge("workers", {ZERO: 3})
    assert await store.begins() == (0, 0)
    await store.bus.close()


async def test_what_came_in_one_batch_goes_as_a_whole(store: Store) -> None:
    """The batch is one block: it stays until its last record was passed."""
    producer = await store.bus.producer()
    await producer.publish([Outgoing(TOPIC, b"k", b"v", 0)] * 10)
    await producer.close()
    await store.acknowledge("workers", {ZERO: 9})
    store.tick(3 * DAY_MS)
    await store.acknowledge("workers", {ZERO: 10})
    assert await store.begins() == (0, 0)
    store.tick(3 * DAY_MS)
    await store.acknowledge("workers", {ZERO: 10})
    assert await store.begins() == (10, 0)
