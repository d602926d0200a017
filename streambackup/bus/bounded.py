"""Reading topics up to ends that are known, at a set pace, without anybody hearing of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Mapping, Sequence

from streambackup.bus.port import Bus, Consumer, Fetched, Ownership, Record, TopicPartition
from streambackup.errors import PositionLostError
from streambackup.runtime.clock import Clock


class Pace:
    """At most *bytes_per_second* of values, on average, for all who share it; None: no limit."""

    def __init__(self, bytes_per_second: int | None, clock: Clock) -> None:
        self._bytes_per_second = bytes_per_second
        self._clock = clock
        self._free_s = 0.0

    def wait_s(self) -> float:
        """How long nothing more may be taken."""
        return max(0.0, self._free_s - self._clock.monotonic_s())

    def took(self, fetched: Fetched) -> None:
        if self._bytes_per_second is not None:
            size = sum(len(r.value or b"") for records in fetched.values() for r in records)
            now_s = self._clock.monotonic_s()
            self._free_s = max(self._free_s, now_s) + size / self._bytes_per_second


class BoundedReading:
    """Consumers of *bus* that read as no group, whichever they are asked to join, up to *ends*."""

    def __init__(self, bus: Bus, ends: Mapping[TopicPartition, int], pace: Pace) -> None:
        self.bus = bus
        self._ends = ends
        self._pace = pace
        self.read_to: dict[TopicPartition, int] = {}
        """The next offset to read of every partition that a consumer has or had."""

    async def consumer(
        self, topics: Collection[str], *, group: str | None, ownership: Ownership
    ) -> Consumer:
        del group
        consumer = _BoundedConsumer(self.bus, self._ends, self._pace, ownership, self.read_to)
        await consumer.open(topics)
        return consumer

    def at_end(self, topic: str) -> bool:
        """Whether everything below the ends of *topic* was handed out."""
        ends = {tp: end for tp, end in self._ends.items() if tp.topic == topic}
        return all(self.read_to.get(tp, 0) >= end for tp, end in ends.items())


class _BoundedConsumer:
    """Stands between a consumer and its owner. A partition at its end is paused underneath."""

    def __init__(
        self,
        bus: Bus,
        ends: Mapping[TopicPartition, int],
        pace: Pace,
        ownership: Ownership,
        read_to: dict[TopicPartition, int],
    ) -> None:
        self._bus = bus
        self._ends = ends
        self._pace = pace
        self._ownership = ownership
        self._read_to = read_to
        self._paused: set[TopicPartition] = set()
        self._placed: set[TopicPartition] = set()
        """Those that there is a position to read from."""

    async def open(self, topics: Collection[str]) -> None:
        self._consumer = await self._bus.consumer(topics, group=None, ownership=self)
        self._consumer.pause([tp for tp in self._placed if self._is_at_end(tp)])

    @property
    def silence_s(self) -> float:
        return self._consumer.silence_s

    async def assigned(
        self, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        positions = await self._ownership.assigned(partitions)
        for tp in partitions:
            self._read_to.pop(tp, None)
        self._read_to.update(positions)
        self._placed.update(positions)
        return positions

    async def revoked(self, partitions: Collection[TopicPartition]) -> None:
        await self._ownership.revoked(partitions)

    async def fetch(self, *, records_max: int, wait_ms: int) -> Fetched:
        if self._pace.wait_s() > 0:
            await asyncio.sleep(min(self._pace.wait_s(), wait_ms / 1000))
            if self._pace.wait_s() > 0:
                return {}
        fetched = await self._consumer.fetch(records_max=records_max, wait_ms=wait_ms)
        self._pace.took(fetched)
        if not fetched:
            await self._look_for_ends()
        return {tp: below for tp, records in fetched.items() if (below := self._below(tp, records))}

    def _below(self, tp: TopicPartition, records: Sequence[Record]) -> Sequence[Record]:
        """Those of *records* that stand below the end."""
        self._pass(tp, records[-1].offset + 1)
        if records[-1].offset < self._ends[tp]:
            return records
        return [record for record in records if record.offset < self._ends[tp]]

    async def _look_for_ends(self) -> None:
        """Behind the last record below an end there may be offsets that no record has."""
        for tp in self._placed - self._paused:
            if not self._is_at_end(tp):
                with contextlib.suppress(PositionLostError):  # The next fetch tells the owner.
                    following = await self._bus.read(tp, self._read_to[tp], records_max=1)
                    if not following or following[0].offset >= self._ends[tp]:
                        self._pass(tp, self._ends[tp])

    def _pass(self, tp: TopicPartition, offset: int) -> None:
        self._read_to[tp] = offset
        if self._is_at_end(tp):
            self._consumer.pause([tp])

    def _is_at_end(self, tp: TopicPartition) -> bool:
        return self._read_to.get(tp, 0) >= self._ends[tp]

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._consumer.seek(partition, offset)
        self._read_to[partition] = offset
        self._placed.add(partition)
        self._set_pause([partition])

    def pause(self, partitions: Collection[TopicPartition]) -> None:
        self._paused.update(partitions)
        self._set_pause(partitions)

    def resume(self, partitions: Collection[TopicPartition]) -> None:
        self._paused.difference_update(partitions)
        self._set_pause(partitions)

    def _set_pause(self, partitions: Collection[TopicPartition]) -> None:
        idle = {tp for tp in partitions if tp in self._paused or self._is_at_end(tp)}
        self._consumer.pause(idle)
        self._consumer.resume(set(partitions) - idle)

    async def acknowledge(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        pass  # Nobody waits to hear it.

    async def close(self) -> None:
        await self._consumer.close()
