"""The consumer of a bus whose records lie at hand: it owns every partition of its topics."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from streambackup.bus.port import Ownership, Record, TopicPartition
from streambackup.errors import BusError, PositionLostError


class Found(NamedTuple):
    """What one look into the partitions brought."""

    records: Mapping[TopicPartition, Sequence[Record]]
    lost: Sequence[PositionLostError]


class Cursors:
    """Where reading goes on in each owned partition."""

    def __init__(
        self,
        positions: Mapping[TopicPartition, int],
        *,
        silent: Collection[TopicPartition] = (),
    ) -> None:
        self._positions = {**dict.fromkeys(silent, 0), **positions}
        self._turns = deque(self._positions)
        self._paused: set[TopicPartition] = set()
        self._silent = set(silent)
        """Where there is no position to read from."""

    def wanted(self) -> dict[TopicPartition, int]:
        """The partitions to read and from where; each is first in its turn,
        so that none starves behind a long one.
        """
        self._turns.rotate(-1)
        idle = self._paused | self._silent
        return {tp: self._positions[tp] for tp in self._turns if tp not in idle}

    def take(
        self,
        wanted: Mapping[TopicPartition, int],
        records: Mapping[TopicPartition, Sequence[Record]],
    ) -> dict[TopicPartition, Sequence[Record]]:
        """The *records* that may be handed out, which moves on behind them; not those of partitions
        that were paused or moved since *wanted* was asked for.
        """
        taken = {}
        for tp, found in records.items():
            if found and tp not in self._paused and self._positions[tp] == wanted[tp]:
                self._positions[tp] = found[-1].offset + 1
                taken[tp] = found
        return taken

    def lose(self, error: PositionLostError) -> bool:
        """Read no more there until ``seek``; False if that place is no longer asked for."""
        tp = TopicPartition(error.topic, error.partition)
        if tp in self._paused or self._positions[tp] != error.offset:
            return False
        self._silent.add(tp)
        return True

    def seek(self, tp: TopicPartition, offset: int) -> None:
        assert tp in self._positions, f"{tp} is not ours"
        self._positions[tp] = offset
        self._silent.discard(tp)

    def pause(self, partitions: Collection[TopicPartition]) -> None:
        self._paused.update(partitions)

    def resume(self, partitions: Collection[TopicPartition]) -> None:
        self._paused.difference_update(partitions)


class LocalConsumer:
    """Reads *partitions* by *look*: what stands at and behind each offset, so many records at
    most, partitions named first served first. *note* keeps what is acknowledged.

    Whoever adds records sets ``news``.
    """

    def __init__(
        self,
        *,
        partitions: Collection[TopicPartition],
        ownership: Ownership,
        look: Callable[[Mapping[TopicPartition, int], int], Awaitable[Found]],
        note: Callable[[Mapping[TopicPartition, int]], Awaitable[None]],
        left: Callable[[], None],
    ) -> None:
        self.news = asyncio.Event()
        self.silence_s = 0.0
        self.partitions = sorted(partitions)
        self.topics = frozenset(tp.topic for tp in partitions)
        self._ownership = ownership
        self._look_at = look
        self._note = note
        self._left = left
        self._cursors = Cursors({})
        self._failure: Exception | None = None
        self._owned: Sequence[TopicPartition] = ()

    async def join(self) -> None:
        """Take the partitions; what the owner objects to, the next ``fetch`` raises."""
        try:
            positions = await self._ownership.assigned(self.partitions)
        except Exception as error:  # whatever it is, it reaches the caller of fetch
            self._failure = error
            return
        self._owned = self.partitions
        silent = [tp for tp in self.partitions if tp not in positions]
        self._cursors = Cursors(positions, silent=silent)

    async def fetch(
        self, *, records_max: int, wait_ms: int
    ) -> Mapping[TopicPartition, Sequence[Record]]:
        deadline = asyncio.get_running_loop().time() + wait_ms / 1000
        while True:
            if self._failure is not None:
                raise self._failure
            self.news.clear()
            records = await self._look(records_max)
            if records or not await self._told_before(deadline):
                return records

    async def _told_before(self, deadline: float) -> bool:
        """Wait for news; False if there was none in time."""
        if asyncio.get_running_loop().time() >= deadline:
            return False
        try:
            async with asyncio.timeout_at(deadline):
                await self.news.wait()
        except TimeoutError:
            return False
        return True

    async def _look(self, records_max: int) -> Mapping[TopicPartition, Sequence[Record]]:
        wanted = self._cursors.wanted()
        if not wanted:
            return {}
        found = await self._look_at(wanted, records_max)
        records = self._cursors.take(wanted, found.records)
        if not records:
            for error in found.lost:
                if self._cursors.lose(error):
                    raise error
        return records

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._cursors.seek(partition, offset)
        self.news.set()

    def pause(self, partitions: Collection[TopicPartition]) -> None:
        self._cursors.pause(partitions)

    def resume(self, partitions: Collection[TopicPartition]) -> None:
        self._cursors.resume(partitions)
        self.news.set()

    async def acknowledge(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        await self._note(next_offsets)

    async def close(self) -> None:
        owned, self._owned = self._owned, ()
        self._failure = BusError("the consumer is closed")
        self.news.set()
        try:
            if owned:
                await self._ownership.revoked(owned)
        finally:
            self._left()
