"""A bus in memory: the same contract, nothing durable, and hooks for what a real bus does rarely.

It waits for nothing but ``asyncio.Event``, so it runs under virtual time. Several consumers may
read as the same group, each all partitions: a worker that a test has "killed" never closes its own.
Groups that share the partitions out are ``group_bus``'s.
"""

from __future__ import annotations

import asyncio
import bisect
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from streambackup.bus.local_consumer import Found, LocalConsumer
from streambackup.bus.port import (
    Bounds,
    Outgoing,
    Ownership,
    Placed,
    Record,
    TopicDescription,
    TopicPartition,
    TopicSpec,
    place,
)
from streambackup.bus.topics import (
    check_local_size,
    check_name,
    check_partitions,
    co_partitioned,
    local_description,
    missing_topic,
    newest,
)
from streambackup.errors import BusError, PositionLostError
from streambackup.runtime.clock import Clock


class MemoryRecord(NamedTuple):
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int


class _Partition:
    def __init__(self) -> None:
        self.begin = 0
        self.end = 0
        self.records: list[MemoryRecord] = []

    def append(self, key: bytes | None, value: bytes | None, now_ms: int) -> int:
        self.records.append(MemoryRecord(self.end, key, value, now_ms))
        self.end += 1
        return self.end - 1

    def compact(self) -> None:
        last = {record.key: record.offset for record in self.records}
        self.records = [r for r in self.records if last[r.key] == r.offset]

    def trim(self, begin: int) -> None:
        assert self.begin <= begin <= self.end
        del self.records[: self._index(begin)]
        self.begin = begin

    def read(self, tp: TopicPartition, offset: int, records_max: int) -> list[MemoryRecord]:
        if not self.begin <= offset <= self.end:
            raise PositionLostError(*tp, offset, begin=self.begin, end=self.end)
        first = self._index(offset)
        return self.records[first : first + max(records_max, 0)]

    def _index(self, offset: int) -> int:
        return bisect.bisect_left(self.records, offset, key=lambda record: record.offset)


class MemoryBus:
    """Topics that live as long as the object; ``close`` only forbids their use through it.

    ``split`` is asked before each fetch how many records it may hand out at most; give it a
    function that returns small numbers to break batches anywhere.
    """

    def __init__(self, *, clock: Clock, broker: MemoryBus | None = None) -> None:
        """Of topics of its own, or of the *broker*'s."""
        self.split: Callable[[], int] | None = None
        self.clock = clock
        self._specs: dict[str, TopicSpec] = {} if broker is None else broker._specs
        self._partitions: dict[TopicPartition, _Partition] = (
            {} if broker is None else broker._partitions
        )
        self._acknowledged: dict[str, dict[TopicPartition, int]] = (
            {} if broker is None else broker._acknowledged
        )
        # In the order in which they came: that of a set would differ from run to run.
        self._consumers: dict[LocalConsumer, None] = {} if broker is None else broker._consumers
        self._closed = False

    # The hooks.

    def trim(self, partition: TopicPartition, begin: int) -> None:
        """Drop what stands before *begin*, as retention does."""
        self._partitions[partition].trim(begin)

    def renew(self, topic: str) -> None:
        """Delete *topic* and make it anew: empty, its offsets from 0 again."""
        for partition in range(self._spec(topic).partitions):
            self._partitions[TopicPartition(topic, partition)] = _Partition()

    def delete(self, topic: str) -> None:
        """Delete *topic* for good."""
        del self._specs[topic]

    def repeat(self, partition: TopicPartition, offset: int) -> None:
        """Hand out everything from *offset* once more, unasked, as a broker may after a crash."""
        for consumer in self._consumers:
            if partition in consumer.partitions:
                consumer.seek(partition, offset)

    # The port.

    async def producer(self) -> MemoryProducer:
        return MemoryProducer(self)

    async def consumer(
        self, topics: Collection[str], *, group: str | None, ownership: Ownership
    ) -> LocalConsumer:
        async def note(next_offsets: Mapping[TopicPartition, int]) -> None:
            if group is not None:
                self.note(group, next_offsets)

        consumer = LocalConsumer(
            partitions=self._partitions_of(topics),
            ownership=ownership,
            look=self._look,
            note=note,
            left=lambda: self.forget(consumer),
        )
        self._consumers[consumer] = None
        await consumer.join()
        return consumer

    async def bounds(self, topics: Collection[str]) -> dict[TopicPartition, Bounds]:
        return {
            tp: Bounds(self._partition(tp).begin, self._partition(tp).end)
            for topic in topics
            for tp in co_partitioned({topic: self._spec(topic).partitions})
        }

    async def read(
        self, partition: TopicPartition, offset: int, *, records_max: int
    ) -> Sequence[Record]:
        return self._partition(partition).read(partition, offset, records_max)

    async def latest(self, topic: str) -> dict[bytes, bytes]:
        self._spec(topic)
        return newest(self._partition(TopicPartition(topic, 0)).records)

    async def acknowledged(self, group: str) -> dict[TopicPartition, int]:
        return dict(self._acknowledged.get(group, {}))

    async def create(self, specs: Collection[TopicSpec]) -> list[str]:
        for spec in specs:
            check_name(spec.name)
            if spec.name not in self._specs:
                self._specs[spec.name] = spec
                self.renew(spec.name)
            found = self._specs[spec.name].partitions
            check_partitions(spec.name, found=found, wanted=spec.partitions)
        return []

    async def describe(self, specs: Collection[TopicSpec]) -> list[TopicDescription]:
        described = []
        for spec in specs:
            if (found := self._specs.get(spec.name)) is not None:
                bounds = await self.bounds([spec.name])
                held = {tp.partition: of_one for tp, of_one in bounds.items()}
                described.append(local_description(found, spec, held))
        return described

    async def close(self) -> None:
        self._closed = True

    def publish(self, records: Sequence[Outgoing]) -> list[Placed]:
        partitions = [place(record, self._spec(record.topic).partitions) for record in records]
        for record in records:
            check_local_size(record)
        places = []
        for partition, record in zip(partitions, records, strict=True):
            log = self._partition(TopicPartition(record.topic, partition))
            offset = log.append(record.key, record.value, self.clock.now_ms())
            if self._specs[record.topic].compacted:
                log.compact()
            places.append(Placed(partition, offset))
        for consumer in self._consumers:
            consumer.news.set()
        return places

    def forget(self, consumer: LocalConsumer) -> None:
        """It reads no more."""
        self._consumers.pop(consumer, None)

    def note(self, group: str, next_offsets: Mapping[TopicPartition, int]) -> None:
        """*group* acknowledges."""
        self._acknowledged.setdefault(group, {}).update(next_offsets)

    async def _look(self, wanted: Mapping[TopicPartition, int], records_max: int) -> Found:
        await asyncio.sleep(0)  # a real bus lets others run
        records: dict[TopicPartition, Sequence[Record]] = {}
        lost = []
        for tp, offset in wanted.items():
            limit = records_max if self.split is None else min(records_max, self.split())
            try:
                found = self._partition(tp).read(tp, offset, limit)
            except PositionLostError as error:
                lost.append(error)
                continue
            records[tp] = found
            records_max -= len(found)
        return Found(records, lost)

    def _partitions_of(self, topics: Collection[str]) -> list[TopicPartition]:
        return co_partitioned({topic: self._spec(topic).partitions for topic in topics})

    def _spec(self, topic: str) -> TopicSpec:
        if self._closed:
            raise BusError("the bus is closed")
        if topic not in self._specs:
            raise missing_topic(topic)
        return self._specs[topic]

    def _partition(self, tp: TopicPartition) -> _Partition:
        self._spec(tp.topic)
        return self._partitions[tp]


class MemoryProducer:
    def __init__(self, bus: MemoryBus) -> None:
        self._bus = bus
        self._closed = False

    async def publish(self, records: Sequence[Outgoing]) -> list[Placed]:
        if self._closed:
            raise BusError("the producer is closed")
        await asyncio.sleep(0)  # a real bus lets others run
        return self._bus.publish(records)

    async def close(self) -> None:
        self._closed = True
