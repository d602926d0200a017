"""The loop that both workers share: own partitions, fetch, hand batches to a thread, acknowledge.

One batch is being made durable while the next is fetched, which may be put together from several
fetches; nothing more is held. What a worker does with a batch is its handler's affair.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec
import structlog

from streambackup.bus.port import Bus, Consumer, Record, TopicPartition
from streambackup.errors import (
    AccessError,
    BusError,
    NoSpaceError,
    PositionLostError,
    StoreError,
    TopicError,
)
from streambackup.journal.life import Life
from streambackup.journal.place import Place
from streambackup.realtime.takeover import Taken, Takeover
from streambackup.runtime.clock import Clock
from streambackup.runtime.metrics import Metrics

log = structlog.get_logger()

RETAKE_AFTER_S = 1.0
"""How long a partition waits before it is tried again: the disk was full, the bus away, or the
group about to say that it is another worker's.
"""
BUS_AWAY_PAUSE_S = 1.0


class FetchSettings(msgspec.Struct, frozen=True, kw_only=True):
    batch_records_max: int = 4000
    fetch_wait_ms: int = 100
    revoke_limit_s: float = 10.0


class Turn:
    """This worker's turn at a partition, until it is lost or begins anew."""

    def __init__(self, tp: TopicPartition, taken: Taken) -> None:
        self.tp = tp
        self.owner = taken.owner
        self.life = taken.life
        self.strays = taken.strays

    def place(self, partitions: int) -> Place:
        """Where its records belong, in a topic of so many *partitions*."""
        life = self.life
        return Place(self.tp.partition, partitions, life.generation, self.strays, life.derived)


class Wait(NamedTuple):
    """What a partition without a turn waits for: a time, in seconds of the monotonic clock.

    It waits because of a stamp that was ``foreign``; ``strays`` are those met before. ``why`` says
    what stopped it.
    """

    life: Life
    until_s: float
    foreign: str | None = None
    strays: frozenset[str] = frozenset()
    why: str | None = None


class Outcome(msgspec.Struct, frozen=True):
    """Why a turn has to begin anew: the next record is of another generation, the disk is full, or
    a newer owner of the partition took away what it was about to store. None: its position is gone.
    """

    turn: Turn
    foreign: str | None = None
    full: NoSpaceError | None = None
    superseded: StoreError | None = None

    @property
    def failure(self) -> StoreError | None:
        return self.full or self.superseded


class Handler(Protocol):
    """What a worker does with the records of its partitions."""

    journal_topic: str
    gather_bytes: int
    """What is fetched while a batch is made durable becomes the next one, up to about so many bytes
    of values; with 0 that is one fetch. Worth it where a batch costs much however small it is.
    """

    def began(self, turn: Turn, filed_to: int) -> int:
        """A turn begins. Returns the offset to read from. In a thread."""
        ...

    def take(self, batches: Sequence[tuple[Turn, Sequence[Record]]]) -> list[Outcome]:
        """Make the records of one fetch durable, the positions with them. In a thread.

        Returns an outcome for each turn that is over; the other turns' batches are durable then.
        """
        ...

    async def tick(self, turns: Collection[Turn]) -> list[Outcome]:
        """Between batches: seal and file what is due. Returns outcomes as ``take`` does."""
        ...

    async def ended(self, turns: Collection[Turn], *, drained: bool) -> None:
        """Turns end: seal what is durable; where *drained*, leave nothing for a successor to do."""
        ...


class StreamWorker:
    """Runs a handler over the partitions of one *topic*. Of the topics *beside* it, the group gives
    it the partitions of the same numbers, which nobody reads.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        bus: Bus,
        topic: str,
        beside: Collection[str] = (),
        group: str,
        life: Life,
        takeover: Takeover,
        settings: FetchSettings,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._handler = handler
        self._bus = bus
        self._topic = topic
        self._beside = beside
        self._group = group
        self._life = life
        self._takeover = takeover
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self.joined = False
        """Whether it takes part in its group, with or without a partition of its own."""
        self._bus_away = False
        self._turns: dict[TopicPartition, Turn] = {}
        self._said: dict[TopicPartition, int] = {}
        self._waiting: dict[TopicPartition, Wait] = {}
        self._taken: list[Turn] = []
        """Turns whose partitions were taken away, and that are not sealed yet."""
        self._work: asyncio.Future[list[Outcome]] | None = None
        self._turning = asyncio.Lock()
        """Held by whoever begins, ends or looks after turns: the loop, and the consumer when it
        gains or loses partitions, which it may do at any moment. Never held while the loop waits
        for the consumer, which may be waiting for it.
        """

    def stopped(self) -> dict[TopicPartition, str]:
        """Partitions of which nothing can be made durable now, and why."""
        return {tp: wait.why for tp, wait in self._waiting.items() if wait.why is not None}

    async def run(self, stop: asyncio.Event) -> None:
        """Work until *stop* is set, then finish what is in hand, seal and file it.

        Raises:
            StreamBackupError: the bus or the disk failed in a way that only a restart can answer.
        """
        topics = [self._topic, *self._beside]
        consumer = await self._bus.consumer(topics, group=self._group, ownership=self)
        self.joined = True
        try:
            while not stop.is_set():
                batches = await self._gather(consumer, stop)
                async with self._turning:
                    await self._settle(consumer)
                    turns = list(self._turns.values())
                    await self._end_all(consumer, await self._handler.tick(turns))
                current = [(t, r) for t, r in batches if self._turns.get(t.tp) is t]
                if current:
                    loop = asyncio.get_running_loop()
                    self._work = loop.run_in_executor(None, self._take_all, current)
                await self._acknowledge(consumer)  # While the disk is busy with the next batch.
            async with self._turning:
                await self._settle(consumer)
            await self._acknowledge(consumer)
        finally:
            try:
                async with self._turning:
                    await self._finish_work()
                    await self._end_taken()
                    turns = list(self._turns.values())
                    self._turns.clear()
                    await self._handler.ended(turns, drained=stop.is_set())
            finally:
                await consumer.close()

    async def _finish_work(self) -> None:
        """Wait for the thread: an append cannot be taken back, so it is not abandoned either."""
        work = self._work
        if work is not None:
            await asyncio.wait([work])
            work.exception()  # Whoever still wants the outcome asks for it again.

    async def assigned(
        self, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        positions = {}
        waiting = {tp: Wait(self._life, 0) for tp in partitions if tp.topic == self._topic}
        # At once: they may be taken away while the lock is waited for.
        self._waiting.update(waiting)
        async with self._turning:
            await self._finish_work()  # Its thread looks at the turns there are.
            for tp, wait in waiting.items():
                try:
                    position = await self._begin(tp, wait)
                except (TopicError, AccessError):
                    raise
                except BusError as away:
                    log.warning("bus_away", topic=self._topic, reason=away.message)
                    break
                except NoSpaceError as full:
                    log.warning("no_space", topic=self._topic, reason=full.message)
                    break
                if position is not None:
                    positions[tp] = position
        return positions

    async def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """From here on nothing more of them begins. What the thread has in hand is waited for, up
        to a limit: an append that comes later stands in its own epoch's file and changes nothing.
        """
        for tp in partitions:
            self._waiting.pop(tp, None)
            if (turn := self._turns.pop(tp, None)) is not None:
                self._taken.append(turn)
        try:
            async with asyncio.timeout(self._settings.revoke_limit_s), self._turning:
                await self._finish_work()
                await self._end_taken()
        except TimeoutError:
            numbers = sorted({tp.partition for tp in partitions})
            log.warning("revocation_cut_short", topic=self._topic, partitions=numbers)

    async def _end_taken(self) -> None:
        while self._taken:
            await self._handler.ended([self._taken.pop()], drained=False)

    async def _begin(self, tp: TopicPartition, wait: Wait) -> int | None:
        """Begin a turn of a partition that waits for one. Returns the offset to read from; None
        where the partition was taken away meanwhile.
        """
        if self._waiting.get(tp) is not wait:
            return None
        topic = self._handler.journal_topic
        taken = await self._takeover.take(
            tp, topic, wait.life, foreign=wait.foreign, strays=wait.strays
        )
        self._metrics.gaps.labels(topic).inc(taken.gaps)
        turn = Turn(tp, taken)
        position = await asyncio.to_thread(self._handler.began, turn, taken.filed_to)
        if self._waiting.get(tp) is not wait:
            await self._handler.ended([turn], drained=False)
            return None
        self._turns[tp] = turn
        del self._waiting[tp]
        log.info(
            "partition_taken",
            topic=tp.topic,
            partition=tp.partition,
            position=taken.owner.position,
            epoch=str(taken.owner.epoch),
        )
        return position

    async def _gather(
        self, consumer: Consumer, stop: asyncio.Event
    ) -> list[tuple[Turn, Sequence[Record]]]:
        """A fetch, and others for as long as the disk is busy with the batch before.

        Nothing waits for this: who needs the disk would wait for it anyway. Records of a turn that
        ends meanwhile stay under that turn, and are dropped with it.
        """
        gathered: dict[Turn, list[Record]] = {}
        room = self._handler.gather_bytes
        while True:
            for turn, records in await self._fetch(consumer):
                gathered.setdefault(turn, []).extend(records)
                if room > 0:
                    room -= sum(len(record.value or b"") for record in records)
            if room <= 0 or stop.is_set() or self._work is None or self._work.done():
                return list(gathered.items())

    async def _fetch(self, consumer: Consumer) -> list[tuple[Turn, Sequence[Record]]]:
        try:
            fetched = await consumer.fetch(
                records_max=self._settings.batch_records_max, wait_ms=self._settings.fetch_wait_ms
            )
        except PositionLostError as lost:
            tp = TopicPartition(lost.topic, lost.partition)
            log.warning("position_lost", topic=tp.topic, partition=tp.partition)
            async with self._turning:
                await self._finish_work()
                if tp in self._turns:
                    await self._end(consumer, Outcome(self._turns[tp]))
            return []
        except (TopicError, AccessError):
            raise
        except BusError as away:
            # Whoever cannot be reached may be back soon, and nothing is lost by waiting.
            if not self._bus_away:
                log.warning("bus_away", topic=self._topic, reason=away.message)
            self._bus_away = True
            await asyncio.sleep(BUS_AWAY_PAUSE_S)
            return []
        if self._bus_away and fetched:
            self._bus_away = False
            log.info("bus_back", topic=self._topic)
        return [(self._turns[tp], records) for tp, records in fetched.items() if tp in self._turns]

    def _take_all(self, batches: list[tuple[Turn, Sequence[Record]]]) -> list[Outcome]:
        """Make batches durable, in a thread, and count them."""
        outcomes = self._handler.take(batches)
        topic = self._topic
        self._metrics.records.labels(topic).inc(sum(len(records) for _, records in batches))
        self._metrics.batches.labels(topic).inc(len(batches))
        return outcomes

    async def _settle(self, consumer: Consumer) -> None:
        """When a batch is durable, let turns that it ended begin anew when they can."""
        if self._work is not None:
            # Until the thread is done the work is known, whoever else has to wait for it: a future
            # awaited here would be cancelled with this, and the thread go on unnoticed.
            await self._finish_work()
            work, self._work = self._work, None
            await self._end_all(consumer, work.result())
        await self._end_taken()
        await self._retake_waiting(consumer)

    async def _end_all(self, consumer: Consumer, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            topic, partition = outcome.turn.tp
            if failure := outcome.failure:
                event = "no_space" if outcome.full else "turn_superseded"
                log.warning(event, topic=topic, partition=partition, reason=failure.message)
            else:
                log.warning("foreign_generation", topic=topic, generation=outcome.foreign)
            await self._end(consumer, outcome)

    async def _end(self, consumer: Consumer, outcome: Outcome) -> None:
        """End a turn that is not over already; after a failure the next one has to wait."""
        turn, foreign, failure = outcome.turn, outcome.foreign, outcome.failure
        if self._turns.get(tp := turn.tp) is not turn:
            return
        consumer.pause([tp])
        del self._turns[tp]
        # Else two producers left over from two lives would end a turn with every record.
        strays = frozenset[str]() if foreign is None else turn.strays
        until_s = self._clock.monotonic_s() + (RETAKE_AFTER_S if failure else 0)
        why = failure.message if failure else None
        self._waiting[tp] = Wait(turn.life, until_s, foreign, strays, why)
        await self._handler.ended([turn], drained=False)

    async def _retake_waiting(self, consumer: Consumer) -> None:
        now = self._clock.monotonic_s()
        for tp, wait in list(self._waiting.items()):
            if wait.until_s > now:
                continue
            try:
                position = await self._begin(tp, wait)
            except (TopicError, AccessError):
                raise
            except (NoSpaceError, BusError) as error:
                if self._waiting.get(tp) is wait:
                    until, why = now + RETAKE_AFTER_S, error.message
                    self._waiting[tp] = wait._replace(until_s=until, why=why)
                continue
            if position is not None:
                consumer.seek(tp, position)
                consumer.resume([tp])

    async def _acknowledge(self, consumer: Consumer) -> None:
        """Tell the bus what is new: also what a predecessor made durable and died before saying."""
        positions = {turn.tp: turn.owner.position for turn in self._turns.values()}
        if not positions or positions == self._said:
            return
        # Only displays and the bus's own retention wait for it, so no failure holds up anything.
        try:
            await consumer.acknowledge(positions)
            self._said = positions
        except AccessError:
            raise
        except (NoSpaceError, BusError) as away:
            log.debug("not_acknowledged", topic=self._topic, reason=away.message)
        for tp, position in positions.items():
            self._metrics.position.labels(tp.topic, str(tp.partition)).set(position)
