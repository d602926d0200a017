"""The bus in memory keeps the contract, and its hooks do what they say."""

from __future__ import annotations

import pytest

from streambackup.bus.port import TopicPartition
from streambackup.bus.topics import LOCAL_RECORD_BYTES_MAX
from streambackup.runtime.clock import SystemClock
from streambackup.testing.memory_bus import MemoryBus
from tests.contract.bus_contract import BusContract
from tests.contract.bus_rig import Rig, fetch_until, lost_position, numbered


class MemoryRig(Rig):
    record_bytes_max = LOCAL_RECORD_BYTES_MAX

    def __init__(self) -> None:
        self.memory = self.bus = MemoryBus(clock=SystemClock())

    async def reopen(self) -> None:
        """Nothing in memory outlives its process, so there is nothing to reopen."""

    async def trim(self, partition: TopicPartition, begin: int) -> None:
        self.memory.trim(partition, begin)


@pytest.fixture
def rig() -> MemoryRig:
    return MemoryRig()


class TestMemoryBus(BusContract):
    pass


async def test_fetches_are_split_where_the_test_says(rig: MemoryRig) -> None:
    topic = await rig.topic(partitions=1)
    await rig.publish(*numbered(topic, range(6)))
    consumer = await rig.consumer(topic)
    sizes = iter([1, 2, 3])
    rig.memory.split = lambda: next(sizes)
    found = [
        len((await consumer.fetch(records_max=100, wait_ms=0))[TopicPartition(topic, 0)])
        for _ in range(3)
    ]
    assert found == [1, 2, 3]


async def test_records_come_twice_when_the_test_says(rig: MemoryRig) -> None:
    topic = await rig.topic(partitions=1)
    await rig.publish(*numbered(topic, range(4)))
    consumer = await rig.consumer(topic)
    await fetch_until(consumer, 4)
    rig.memory.repeat(TopicPartition(topic, 0), 2)
    again = (await fetch_until(consumer, 2))[TopicPartition(topic, 0)]
    assert [record.offset for record in again] == [2, 3]


async def test_a_topic_made_anew_loses_its_readers_positions(rig: MemoryRig) -> None:
    topic = await rig.topic(partitions=1)
    await rig.publish(*numbered(topic, range(4)))
    consumer = await rig.consumer(topic)
    await fetch_until(consumer, 4)
    rig.memory.renew(topic)
    await rig.publish(*numbered(topic, range(1)))
    assert ((error := await lost_position(consumer)).begin, error.end) == (0, 1)
