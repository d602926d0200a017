"""The loop that both workers share: own partitions, fetch, hand batches to a thread, acknowledge.

One batch is being made durable while the next is fetched; nothing more is held. What a worker does
with a batch
is its handler's affair.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import msgspec
import structlog

from streambackup.bus.port import Bus, Consumer, Record, TopicPartition
from streambackup.errors import NoSpaceError, PositionLostError
from streambackup.journal.life import Life
from streambackup.journal.owner import PartitionOwner
from streambackup.realtime.takeover import Takeover
from streambackup.runtime.clock import Clock
from streambackup.runtime.metrics import Metrics

log = structlog.get_logger()

RETAKE_AFTER_S = 1.0
"""How long a partition waits before it is tried again after the disk was full."""


class FetchSettings(msgspec.Struct, frozen=True, kw_only=True):
    batch_records_max: int = 4000
    fetch_wait_ms: int = 100


class Turn:
    """This worker's turn at a partition, until it is lost or begins anew."""

    def __init__(self, tp: TopicPartition, owner: PartitionOwner, life: Life) -> None:
        self.tp = tp
        self.owner = owner
        self.life = life


class Outcome(msgspec.Struct, frozen=True):
    """Why a turn has to begin anew: the next record is of another generation, or the disk
    is full.
    """

    turn: Turn
    foreign: str | None = None
    full: NoSpaceError | None = None


class Handler(Protocol):
    """What a worker does with the records of its partitions."""

    journal_topic: str

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
    """Runs a handler over the partitions of one topic."""

    def __init__(
        self,
        handler: Handler,
        *,
        bus: Bus,
        topic: str,
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
        self._group = group
        self._life = life
        self._takeover = takeover
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self.joined = False
        """Whether it takes part in its group, with or without a partition of its own."""
        self._turns: dict[TopicPartition, Turn] = {}
        self._waiting: dict[TopicPartition, tuple[Life, float]] = {}
        self._work: asyncio.Future[list[Outcome]] | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Work until *stop* is set, then finish what is in hand, seal and file it.

        Raises:
            StreamBackupError: the bus or the disk failed in a way that only a restart can answer.
        """
        consumer = await self._bus.consumer([self._topic], group=self._group, ownership=self)
        self.joined = True
        try:
            while not stop.is_set():
                batches = await self._fetch(consumer)
                await self._settle(consumer)
                for outcome in await self._handler.tick(list(self._turns.values())):
                    await self._end(consumer, outcome)
                current = [(t, r) for t, r in batches if self._turns.get(t.tp) is t]
                if current:
                    loop = asyncio.get_running_loop()
                    self._work = loop.run_in_executor(None, self._take_all, current)
            await self._settle(consumer)
        finally:
            await self._finish_work()
            await self._handler.ended(list(self._turns.values()), drained=stop.is_set())
            self._turns.clear()
            await consumer.close()

    async def _finish_work(self) -> None:
        """Wait for the thread: an append cannot be taken back, so it is not abandoned either."""
        if self._work is not None:
            await asyncio.wait([self._work])

    async def assigned(
        self, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        return {tp: await self._begin(tp, self._life) for tp in partitions}

    async def revoked(self, partitions: Collection[TopicPartition]) -> None:
        await self._finish_work()
        lost = [turn for tp in partitions if (turn := self._turns.pop(tp, None)) is not None]
        await self._handler.ended(lost, drained=False)

    async def _begin(self, tp: TopicPartition, life: Life) -> int:
        taken, life = await self._takeover.take(tp, self._handler.journal_topic, life)
        turn = Turn(tp, taken.owner, life)
        position = await asyncio.to_thread(self._handler.began, turn, taken.filed_to)
        self._turns[tp] = turn
        log.info(
            "partition_taken",
            topic=tp.topic,
            partition=tp.partition,
            position=taken.owner.position,
            epoch=str(taken.owner.epoch),
        )
        return position

    async def _fetch(self, consumer: Consumer) -> list[tuple[Turn, Sequence[Record]]]:
        try:
            fetched = await consumer.fetch(
                records_max=self._settings.batch_records_max, wait_ms=self._settings.fetch_wait_ms
            )
        except PositionLostError as lost:
            tp = TopicPartition(lost.topic, lost.partition)
            log.warning("position_lost", topic=tp.topic, partition=tp.partition)
            await self._finish_work()
            turn = self._turns.pop(tp)
            await self._handler.ended([turn], drained=False)
            await self._begin_again(consumer, tp, turn.life)
            return []
        return [(self._turns[tp], records) for tp, records in fetched.items() if tp in self._turns]

    def _take_all(self, batches: list[tuple[Turn, Sequence[Record]]]) -> list[Outcome]:
        """Make batches durable, in a thread, and count them."""
        outcomes = self._handler.take(batches)
        topic = self._topic
        self._metrics.records.labels(topic).inc(sum(len(records) for _, records in batches))
        self._metrics.batches.labels(topic).inc(len(batches))
        return outcomes

    async def _settle(self, consumer: Consumer) -> None:
        """When a batch is durable: tell the bus, and let turns that ended begin anew when
        they can.
        """
        if self._work is not None:
            work, self._work = self._work, None
            for outcome in await work:
                await self._end(consumer, outcome)
            await self._acknowledge(consumer)
        await self._retake_waiting(consumer)

    async def _end(self, consumer: Consumer, outcome: Outcome) -> None:
        """End a turn, and note when the next one at its partition may begin."""
        turn, tp = outcome.turn, outcome.turn.tp
        retake_at = self._clock.monotonic_s()
        if outcome.full is not None:
            retake_at += RETAKE_AFTER_S
            log.warning(
                "no_space", topic=tp.topic, partition=tp.partition, reason=str(outcome.full)
            )
        else:
            log.warning("foreign_generation", topic=tp.topic, generation=outcome.foreign)
        consumer.pause([tp])
        del self._turns[tp]
        await self._handler.ended([turn], drained=False)
        self._waiting[tp] = (turn.life, retake_at)

    async def _retake_waiting(self, consumer: Consumer) -> None:
        now = self._clock.monotonic_s()
        for tp, (life, at) in list(self._waiting.items()):
            if at > now:
                continue
            try:
                await self._begin_again(consumer, tp, life)
            except NoSpaceError:
                self._waiting[tp] = (life, now + RETAKE_AFTER_S)
            else:
                del self._waiting[tp]

    async def _begin_again(self, consumer: Consumer, tp: TopicPartition, life: Life) -> None:
        consumer.seek(tp, await self._begin(tp, life))
        consumer.resume([tp])

    async def _acknowledge(self, consumer: Consumer) -> None:
        positions = {turn.tp: turn.owner.position for turn in self._turns.values()}
        if positions:
            # Only displays and the bus's own retention wait for it: no space for it holds up
            # nothing.
            with contextlib.suppress(NoSpaceError):
                await consumer.acknowledge(positions)
        for tp, position in positions.items():
            self._metrics.position.labels(tp.topic, str(tp.partition)).set(position)
