"""The loop that both workers share: own partitions, fetch, hand batches to a thread, acknowledge.

One batch is being made durable while the next is fetched, which may be put together from several
fetches; nothing more is held. A partition whose batch takes long is read no further until that is
durable, while others go on. What a worker does with a batch is its handler's affair.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence

import msgspec
import structlog

from streambackup.bus.port import Consumer, Consumers, Record, TopicPartition
from streambackup.errors import (
    AccessError,
    BusError,
    NoSpaceError,
    PositionLostError,
    TopicError,
)
from streambackup.journal.life import Life
from streambackup.realtime.group_member import GroupMember
from streambackup.realtime.in_hand import InHand
from streambackup.realtime.takeover import Takeover
from streambackup.realtime.turn import Handler, Outcome, Turn, Wait
from streambackup.runtime.clock import Clock
from streambackup.runtime.metrics import Metrics

log = structlog.get_logger()

RETAKE_AFTER_S = 1.0
"""How long a partition waits before it is tried again: the disk was full, the bus away, or the
group about to say that it is another worker's.
"""


class FetchSettings(msgspec.Struct, frozen=True, kw_only=True):
    batch_records_max: int = 4000
    fetch_wait_ms: int = 100
    revoke_limit_s: float = 10.0
    threads: int = 4


class StreamWorker:
    """Runs a handler over the partitions of one *topic*. Of the topics *beside* it, the group gives
    it the partitions of the same numbers, which nobody reads.

    *settled* is called whenever all that was handed to it is durable and no partition waits.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        bus: Consumers,
        topic: str,
        beside: Collection[str] = (),
        group: str | None,
        life: Life,
        takeover: Takeover,
        settings: FetchSettings,
        clock: Clock,
        metrics: Metrics,
        settled: Callable[[], None] = lambda: None,
    ) -> None:
        self._handler = handler
        self.topic = topic
        self.member = GroupMember(bus, [topic, *beside], group=group, ownership=self)
        self._life = life
        self._takeover = takeover
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self._settled = settled
        self._scope: asyncio.Timeout | None = None
        self._turns: dict[TopicPartition, Turn] = {}
        self._waiting: dict[TopicPartition, Wait] = {}
        self._over: list[Turn] = []
        """Turns that are over, and not sealed yet."""
        self._in_hand = InHand(self._take_all, apart=handler.by_partition, threads=settings.threads)
        self._slow = frozenset[Turn]()  # Their partitions are paused until a thread is done.
        self._turning = asyncio.Lock()
        """Held by whoever begins, ends or looks after turns: the loop, and the consumer when it
        gains or loses partitions, which it may do at any moment. Never held while the loop waits
        for the consumer, which may be waiting for it.
        """

    def stopped(self) -> dict[TopicPartition, str]:
        """Partitions of which nothing can be made durable now, and why."""
        return {tp: wait.why for tp, wait in self._waiting.items() if wait.why is not None}

    @property
    def slow(self) -> list[TopicPartition]:
        """Partitions that are not read on before the disk is done with what was read of them."""
        return sorted(turn.tp for turn in self._slow)

    @property
    def reads_from(self) -> dict[TopicPartition, int]:
        """The partitions that its consumer is to read, and the offset that comes next in each."""
        return {turn.tp: turn.reads_from for turn in self._turns.values() if turn not in self._slow}

    def rebuild(self) -> None:
        """Leave the group, from whatever the consumer is stuck in, and join it again with a new
        one. All turns begin anew, from what is durable.
        """
        if self._scope is not None and not self._scope.expired():
            self._scope.reschedule(0)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until *stop* is set, then finish what is in hand, seal and file it.

        Raises:
            StreamBackupError: the bus or the disk failed in a way that only a restart can answer.
        """
        join = self.member.join
        try:
            while not stop.is_set():
                try:
                    async with asyncio.timeout(None) as self._scope:
                        await self._serve(await join(), stop)
                except (TimeoutError, BusError) as error:
                    if self._scope is None or not self._scope.expired():
                        raise
                    log.warning("joining_again", topic=self.topic, left_with=str(error) or None)
                join = self.member.join_again
        finally:
            self._in_hand.close()

    async def _serve(self, consumer: Consumer, stop: asyncio.Event) -> None:
        try:
            while not stop.is_set():
                if self._in_hand.is_empty and not self._waiting:
                    self._settled()
                await self._gather(consumer, stop)
                async with self._turning:
                    await self._settle(consumer)
                    idle = self._in_hand.idle(self._turns.values())
                    await self._end_all(consumer, await self._handler.tick(idle))
                self._in_hand.begin(self._turns.values())
                await self._acknowledge()  # While the disk is busy with the next batch.
            async with self._turning:
                await self._in_hand.wait(self._in_hand.keys)
                await self._settle(consumer)
            await self._acknowledge()
        finally:
            try:
                async with self._turning:
                    await self._in_hand.wait(self._in_hand.keys)
                    await self._seal_over()
                    turns = list(self._turns.values())
                    self._turns.clear()
                    self._in_hand.forget()
                    await self._handler.ended(turns, drained=stop.is_set())
            finally:
                await self.member.leave()

    async def assigned(
        self, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        # At once: they may be taken away while the lock is waited for.
        self._waiting |= {tp: Wait(self._life, 0) for tp in partitions if tp.topic == self.topic}
        with self.member.owner_at_work():
            async with self._turning:
                await self._in_hand.wait_a_while()  # Its threads look at the turns there are.
                await self._seal_over()
                return await self._begin_waiting()

    async def _begin_waiting(self) -> dict[TopicPartition, int]:
        """Begin the turns that waited for long enough. Returns where to read their partitions.

        One that cannot begin waits on; so do those behind it where the bus is away.
        """
        now_s = self._clock.monotonic_s()
        positions = {}
        for tp, wait in list(self._waiting.items()):
            if wait.until_s > now_s:
                continue
            try:
                position = await self._begin(tp, wait)
            except (TopicError, AccessError):
                raise
            except (NoSpaceError, BusError) as error:
                if not wait.until_s:
                    log.warning("partition_waits", topic=self.topic, reason=error.message)
                if self._waiting.get(tp) is wait:
                    until_s = now_s + RETAKE_AFTER_S
                    self._waiting[tp] = wait._replace(until_s=until_s, why=error.message)
                if isinstance(error, BusError):
                    break
            else:
                if position is not None:
                    positions[tp] = position
        return positions

    async def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """From here on nothing more of them begins. What threads have in hand is waited for, up to
        a limit: an append that comes later stands in its own epoch's file and changes nothing.
        """
        for tp in partitions:
            self._waiting.pop(tp, None)
        gone = [self._turns.pop(tp) for tp in partitions if tp in self._turns]
        self._over += gone
        try:
            async with asyncio.timeout(self._settings.revoke_limit_s), self._turning:
                await self._in_hand.wait(gone)
                await self._seal_over()
        except TimeoutError:
            numbers = sorted({tp.partition for tp in partitions})
            log.warning("revocation_cut_short", topic=self.topic, partitions=numbers)

    async def _seal_over(self) -> None:
        """End turns that are over, and that no thread has in hand any more."""
        at_work = self._in_hand.at_work
        for turn in [turn for turn in self._over if turn not in at_work]:
            self._over.remove(turn)
            await self._handler.ended([turn], drained=False)

    async def _begin(self, tp: TopicPartition, wait: Wait) -> int | None:
        """Begin a turn of a partition that waits for one. Returns the offset to read from; None
        where the partition was taken away meanwhile, or a thread is still at work on it.
        """
        unsealed = {turn.tp for turn in (*self._over, *self._in_hand.at_work)}
        if self._waiting.get(tp) is not wait or tp in unsealed:
            return None
        taken = await self._takeover.take(
            tp, self._handler.journal_topic, wait.life, foreign=wait.foreign, strays=wait.strays
        )
        self._metrics.gaps.labels(self.topic).inc(taken.gaps)
        turn = Turn(tp, taken)
        turn.reads_from = await asyncio.to_thread(self._handler.began, turn, taken.filed_to)
        if self._waiting.get(tp) is not wait:
            await self._handler.ended([turn], drained=False)
            return None
        self._turns[tp] = turn
        del self._waiting[tp]
        at = {"position": taken.owner.position, "epoch": str(taken.owner.epoch)}
        log.info("partition_taken", topic=tp.topic, partition=tp.partition, **at)
        return turn.reads_from

    async def _gather(self, consumer: Consumer, stop: asyncio.Event) -> None:
        """Add a fetch to what is to be made durable, and others for as long as the disk is busy
        with the batch before.

        Nothing waits for this: who needs the disk would wait for it anyway. Records of a turn that
        ends meanwhile stay under that turn, and are dropped with it.
        """
        room = self._handler.gather_bytes
        while True:
            for turn, records in await self._fetch(consumer):
                turn.reads_from = records[-1].offset + 1
                self._in_hand.add(turn, records)
                if room > 0:
                    room -= sum(len(record.value or b"") for record in records)
            if room <= 0 or stop.is_set() or not self._in_hand.at_work:
                return

    async def _fetch(self, consumer: Consumer) -> list[tuple[Turn, Sequence[Record]]]:
        size, wait_ms = self._settings.batch_records_max, self._settings.fetch_wait_ms
        try:
            fetched = await self.member.fetch(records_max=size, wait_ms=wait_ms)
        except PositionLostError as lost:
            tp = TopicPartition(lost.topic, lost.partition)
            log.warning("position_lost", topic=tp.topic, partition=tp.partition)
            async with self._turning:
                if tp in self._turns:
                    await self._end(consumer, Outcome(self._turns[tp]))
            return []
        return [(self._turns[tp], records) for tp, records in fetched.items() if tp in self._turns]

    def _take_all(self, batches: Sequence[tuple[Turn, Sequence[Record]]]) -> list[Outcome]:
        """Make batches durable, in a thread, and count them."""
        outcomes = self._handler.take(batches)
        self._metrics.records.labels(self.topic).inc(sum(len(records) for _, records in batches))
        self._metrics.batches.labels(self.topic).inc(len(batches))
        return outcomes

    async def _settle(self, consumer: Consumer) -> None:
        """When batches are durable, let turns that they ended begin anew when they can."""
        await self._in_hand.wait_a_while()
        await self._end_all(consumer, self._in_hand.finished())
        self._pause_slow(consumer)
        await self._seal_over()
        for tp, position in (await self._begin_waiting()).items():
            consumer.seek(tp, position)
            consumer.resume([tp])

    def _pause_slow(self, consumer: Consumer) -> None:
        """Read on where threads are done, and not where they are not: what was fetched is enough.
        Where all of them are busy nothing is read, or what waits for one would grow.
        """
        turns = frozenset(self._turns.values())
        slow = turns.difference(self._in_hand.idle(turns))
        if began := sorted(turn.tp for turn in slow - self._slow):
            consumer.pause(began)
            log.info("disk_slow", topic=self.topic, partitions=[tp.partition for tp in began])
        if ended := sorted(turn.tp for turn in turns & self._slow - slow):
            consumer.resume(ended)
            log.info("disk_went_on", topic=self.topic, partitions=[tp.partition for tp in ended])
        self._slow = slow

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
        self._over.append(turn)
        await self._seal_over()

    async def _acknowledge(self) -> None:
        """Tell the bus what is new: also what a predecessor made durable and died before saying."""
        positions = {turn.tp: turn.owner.position for turn in self._turns.values()}
        if not await self.member.acknowledge(positions):
            return
        for tp, position in positions.items():
            self._metrics.position.labels(tp.topic, str(tp.partition)).set(position)
