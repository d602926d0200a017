"""Reading up to ends that are known: no record beyond them, none below them left out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import pytest

from streambackup.bus.bounded import BoundedReading, Pace
from streambackup.bus.port import Consumer, Outgoing, TopicPartition, TopicSpec
from streambackup.errors import PositionLostError
from streambackup.testing.memory_bus import MemoryBus
from tests.support.manual_clock import ManualClock

TOPIC = "topic"
ONE, TWO = TopicPartition(TOPIC, 0), TopicPartition(TOPIC, 1)


class Owner:
    def __init__(self, positions: Mapping[TopicPartition, int]) -> None:
        self._positions = positions

    async def assigned(
        self, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        return {tp: self._positions[tp] for tp in partitions if tp in self._positions}

    async def revoked(self, partitions: Collection[TopicPartition]) -> None:
        pass


@pytest.fixture
async def bus() -> MemoryBus:
    bus = MemoryBus(clock=ManualClock())
    await bus.create([TopicSpec(name=TOPIC, partitions=2, retention_ms=-1)])
    return bus


def fill(bus: MemoryBus, tp: TopicPartition, count: int) -> None:
    bus.publish([Outgoing(tp.topic, b"key", b"%d" % n, tp.partition) for n in range(count)])


async def opened(
    bus: MemoryBus,
    ends: Mapping[TopicPartition, int],
    positions: Mapping[TopicPartition, int] | None = None,
    pace: Pace | None = None,
) -> tuple[BoundedReading, Consumer]:
    pace = pace or Pace(None, ManualClock())
    reading = BoundedReading(bus, ends, pace)
    owner = Owner({ONE: 0, TWO: 0} if positions is None else positions)
    return reading, await reading.consumer([TOPIC], group="some", ownership=owner)


async def offsets(consumer: Consumer, fetches: int = 4) -> dict[TopicPartition, list[int]]:
    """Of what so many fetches hand out."""
    found: dict[TopicPartition, list[int]] = {}
    for _ in range(fetches):
        fetched: Mapping[TopicPartition, Sequence[object]] = await consumer.fetch(
            records_max=3, wait_ms=0
        )
        for tp, records in fetched.items():
            found.setdefault(tp, []).extend(record.offset for record in records)  # type: ignore[attr-defined]
    return found


async def test_nothing_beyond_an_end_is_handed_out(bus: MemoryBus) -> None:
    fill(bus, ONE, 9)
    fill(bus, TWO, 2)
    reading, consumer = await opened(bus, {ONE: 5, TWO: 0})
    assert not reading.at_end(TOPIC)
    assert await offsets(consumer) == {ONE: [0, 1, 2, 3, 4]}
    assert reading.at_end(TOPIC)
    await consumer.close()


async def test_what_was_read_before_is_at_its_end_at_once(bus: MemoryBus) -> None:
    fill(bus, ONE, 9)
    reading, consumer = await opened(bus, {ONE: 5, TWO: 0}, {ONE: 7, TWO: 0})
    assert reading.at_end(TOPIC)
    assert await offsets(consumer) == {}
    await consumer.close()


async def test_offsets_that_no_record_has_end_a_partition_too(bus: MemoryBus) -> None:
    """Kafka's own markers, behind which a partition may end, are never handed out."""
    fill(bus, ONE, 3)
    reading, consumer = await opened(bus, {ONE: 5, TWO: 4})
    assert await offsets(consumer) == {ONE: [0, 1, 2]}
    assert reading.at_end(TOPIC)
    await consumer.close()


async def test_whoever_goes_back_reads_again_up_to_the_end(bus: MemoryBus) -> None:
    fill(bus, ONE, 9)
    reading, consumer = await opened(bus, {ONE: 5, TWO: 0})
    await offsets(consumer)
    consumer.pause([ONE])
    consumer.seek(ONE, 3)
    assert not reading.at_end(TOPIC)
    assert await offsets(consumer) == {}
    consumer.resume([ONE])
    assert await offsets(consumer) == {ONE: [3, 4]}
    assert reading.at_end(TOPIC)
    await consumer.close()


async def test_resuming_a_partition_at_its_end_brings_nothing(bus: MemoryBus) -> None:
    fill(bus, ONE, 9)
    _, consumer = await opened(bus, {ONE: 3, TWO: 0})
    await offsets(consumer)
    consumer.pause([ONE, TWO])
    consumer.resume([ONE, TWO])
    assert await offsets(consumer) == {}
    await consumer.close()


async def test_a_silent_partition_is_not_at_its_end(bus: MemoryBus) -> None:
    fill(bus, ONE, 2)
    reading, consumer = await opened(bus, {ONE: 2, TWO: 0}, {TWO: 0})
    assert await offsets(consumer) == {}
    assert not reading.at_end(TOPIC)
    consumer.seek(ONE, 0)
    assert await offsets(consumer) == {ONE: [0, 1]}
    assert reading.at_end(TOPIC)
    await consumer.close()


async def test_a_lost_position_is_its_owners_affair(bus: MemoryBus) -> None:
    fill(bus, ONE, 5)
    bus.trim(ONE, 3)
    reading, consumer = await opened(bus, {ONE: 5, TWO: 0}, {ONE: 1, TWO: 0})
    with pytest.raises(PositionLostError):
        await offsets(consumer)
    assert not reading.at_end(TOPIC)
    consumer.seek(ONE, 3)
    assert await offsets(consumer) == {ONE: [3, 4]}
    await consumer.close()


async def test_nobody_hears_how_far_it_is(bus: MemoryBus) -> None:
    _, consumer = await opened(bus, {ONE: 0, TWO: 0})
    await consumer.acknowledge({ONE: 0})
    await consumer.close()
    assert await bus.acknowledged("some") == {}


async def test_a_pace_is_kept_on_average(bus: MemoryBus) -> None:
    """Three records of a byte each at two bytes a second are a second and a half."""
    fill(bus, ONE, 9)
    clock = ManualClock()
    _, consumer = await opened(bus, {ONE: 9, TWO: 0}, pace=Pace(2, clock))
    assert await offsets(consumer, 3) == {ONE: [0, 1, 2]}
    clock.advance(ms=1_499)
    assert await offsets(consumer, 3) == {}
    clock.advance(ms=1)
    assert await offsets(consumer, 3) == {ONE: [3, 4, 5]}
    await consumer.close()
