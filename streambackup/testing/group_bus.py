"""A bus in memory as one process sees it whose consumers take part in groups."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

from streambackup.bus.local_consumer import Cursors, Found, LocalConsumer
from streambackup.bus.port import Bounds, Ownership, Record, TopicPartition
from streambackup.errors import BusError
from streambackup.testing.memory_bus import MemoryBus
from streambackup.testing.memory_groups import Groups, NotAMemberError, Seat


class GroupBus(MemoryBus):
    """The topics of *broker*, for one process; its consumers' work in the background belongs to
    *beside*. Each question to the broker takes as long as *latency_s* says.

    ``sever`` ends it as the death of its process would: nobody hears of it again.
    """

    def __init__(
        self,
        broker: MemoryBus,
        groups: Groups,
        beside: asyncio.TaskGroup,
        latency_s: Callable[[], float] = lambda: 0,
    ) -> None:
        super().__init__(clock=broker.clock, broker=broker)
        self._groups = groups
        self._beside = beside
        self._latency_s = latency_s
        self._own: list[LocalConsumer] = []

    def sever(self) -> None:
        self._closed = True
        for consumer in self._own:
            self.forget(consumer)

    @property
    def is_severed(self) -> bool:
        return self._closed

    async def consumer(
        self, topics: Collection[str], *, group: str | None, ownership: Ownership
    ) -> LocalConsumer:
        if group is None:
            consumer = await super().consumer(topics, group=group, ownership=ownership)
            self._own.append(consumer)
            return consumer
        return await self._member(topics, group, ownership)

    async def _member(
        self, topics: Collection[str], group: str, ownership: Ownership
    ) -> GroupConsumer:
        consumer = GroupConsumer(
            self, group, self._partitions_of(topics), ownership, self._groups, self._look
        )
        self._consumers[consumer] = None
        self._own.append(consumer)
        await consumer.take_part(self._beside)
        return consumer

    async def bounds(self, topics: Collection[str]) -> dict[TopicPartition, Bounds]:
        await asyncio.sleep(self._latency_s())
        return await super().bounds(topics)

    async def read(
        self, partition: TopicPartition, offset: int, *, records_max: int
    ) -> Sequence[Record]:
        await asyncio.sleep(self._latency_s())
        return await super().read(partition, offset, records_max=records_max)


class GroupConsumer(LocalConsumer):
    """Owns what its group assigns to it. Partitions are taken away in the background, at any
    moment; those assigned are taken by whoever fetches, as the consumer of Kafka does.
    """

    def __init__(
        self,
        bus: GroupBus,
        group: str,
        partitions: Collection[TopicPartition],
        ownership: Ownership,
        groups: Groups,
        look: Callable[[Mapping[TopicPartition, int], int], Awaitable[Found]],
    ) -> None:
        super().__init__(
            partitions=(),
            ownership=ownership,
            look=self._look_and_see,
            note=self._note_if_member,
            left=self._leave,
        )
        self._bus = bus
        self._group = group
        self._wanted = partitions
        self._groups = groups
        self._look_into_bus = look
        self._seat: Seat | None = None
        self._given: Sequence[TopicPartition] = ()
        self._assigned = asyncio.Event()
        self._background: asyncio.Task[None] | None = None

    async def take_part(self, beside: asyncio.TaskGroup) -> None:
        """Become a member, and take what the group gives first; what the owner objects to, the next
        ``fetch`` raises.
        """
        self._background = beside.create_task(self._coordinate(), name=f"member of {self._group}")
        await self._assigned.wait()
        with contextlib.suppress(Exception):
            await self._take_given()

    async def _coordinate(self) -> None:
        while True:
            await self._give_back()
            member = None if self._seat is None else self._seat.member
            self._seat = await self._groups.join(self._group, member, self._wanted)
            self._given = sorted(self._seat.partitions)
            self._assigned.set()
            self.news.set()
            with contextlib.suppress(NotAMemberError):
                while True:
                    await asyncio.sleep(self._groups.times.heartbeat_s)
                    if self._groups.heartbeat(self._group, self._seat):
                        break

    async def _give_back(self) -> None:
        """All that was ours is not any more, even what the group may give us again."""
        owned, self._owned, self._given, self.partitions = self._owned, (), (), []
        self._cursors = Cursors({})
        try:
            if owned:
                await self._ownership.revoked(owned)
        except Exception as error:  # whatever it is, it reaches the caller of fetch
            self._failure = error

    async def _take_given(self) -> None:
        """Ask the owner where to read, unless it is all gone again when it answers."""
        given, self._given = self._given, ()
        if not given:
            return
        self._owned = given
        try:
            positions = await self._ownership.assigned(given)
        except Exception as error:
            self._failure = error
            raise
        if self._owned is given:
            self.partitions = list(given)
            silent = [tp for tp in given if tp not in positions]
            self._cursors = Cursors(positions, silent=silent)

    async def _look(self, records_max: int) -> Mapping[TopicPartition, Sequence[Record]]:
        await self._take_given()
        return await super()._look(records_max)

    async def _look_and_see(self, wanted: Mapping[TopicPartition, int], records_max: int) -> Found:
        """What the bus has, unless there was a rebalance meanwhile."""
        cursors = self._cursors
        found = await self._look_into_bus(wanted, records_max)
        return found if cursors is self._cursors else Found({}, [])

    def seek(self, partition: TopicPartition, offset: int) -> None:
        if partition in self.partitions:
            super().seek(partition, offset)

    def pause(self, partitions: Collection[TopicPartition]) -> None:
        super().pause([tp for tp in partitions if tp in self.partitions])

    def resume(self, partitions: Collection[TopicPartition]) -> None:
        super().resume([tp for tp in partitions if tp in self.partitions])

    async def _note_if_member(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        if self._seat is None or not set(next_offsets) <= set(self._owned):
            raise NotAMemberError(f"the group {self._group} gave them to another worker")
        self._groups.check_acknowledge(self._group, self._seat)
        self._bus.note(self._group, next_offsets)

    async def close(self) -> None:
        if self._bus.is_severed:
            raise BusError("the bus is closed")
        if self._background is not None:
            self._background.cancel()
            await asyncio.wait([self._background])
        await super().close()

    def _leave(self) -> None:
        self._bus.forget(self)
        if self._seat is not None:
            self._groups.leave(self._group, self._seat)
