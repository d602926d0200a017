"""Looks after consumers: one that stands still is made anew, and where that does not help the
process ends, for whoever started it to start it again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from functools import partial

import structlog

from streambackup.bus.port import Bounds, Bus, TopicPartition
from streambackup.domain.liveness import LOOKS, Look, Step, Watch, judge, trouble
from streambackup.errors import BusError, PositionLostError, StuckError
from streambackup.realtime.stream_worker import StreamWorker
from streambackup.runtime.clock import Clock
from streambackup.runtime.metrics import Metrics

log = structlog.get_logger()

BUS_PATIENCE_S = 5.0


class ConsumerWatch:
    """Watches one worker's consumer, and asks the bus beside it."""

    def __init__(
        self, worker: StreamWorker, *, bus: Bus, clock: Clock, limit_s: float, metrics: Metrics
    ) -> None:
        self._worker = worker
        self._bus = bus
        self._clock = clock
        self._limit_s = limit_s
        self._metrics = metrics
        self._watch = Watch(clock.monotonic_s(), worker.member.pulse())
        self._stood: Mapping[TopicPartition, tuple[int, int]] = {}

    async def look(self) -> None:
        """Look, and do what has to be done.

        Raises:
            StuckError: a new consumer stands still as well.
        """
        answers, unread = await self._ask_bus()
        at_s, pulse = self._clock.monotonic_s(), self._worker.member.pulse()
        look = Look(at_s, pulse, answers=answers, unread=unread)
        found = trouble(self._watch.pulse, look, self._limit_s)
        self._watch, step = judge(self._watch, look, self._limit_s)
        if step is Step.REBUILD:
            log.error("consumer_stuck", topic=self._worker.topic, reason=str(found))
            self._metrics.consumers_rebuilt.labels(self._worker.topic).inc()
            self._worker.rebuild()
        elif step is Step.END:
            raise StuckError(
                f"the consumer of {self._worker.topic} stood still for {self._limit_s:g} s, and so "
                f"did a new one: {found}",
                hint="Start the service again: nothing is lost. If it comes back, report it.",
            )

    async def _ask_bus(self) -> tuple[bool, bool]:
        """Whether the bus answers, the group's coordinator too, and has something unread."""
        try:
            async with asyncio.timeout(BUS_PATIENCE_S):
                if group := self._worker.member.group:
                    await self._bus.acknowledged(group)
                return True, await self._has_unread(await self._bus.bounds([self._worker.topic]))
        except (BusError, TimeoutError):
            return False, False

    async def _has_unread(self, bounds: Mapping[TopicPartition, Bounds]) -> bool:
        """Whether a record that was there at the look before has not been handed out since.

        It is read to be sure: what ends a partition may be no record, but the mark of somebody's
        transaction.
        """
        reads_from = self._worker.reads_from
        before = self._stood
        self._stood = {tp: (at, bounds[tp].end) for tp, at in reads_from.items() if tp in bounds}
        for tp, at in reads_from.items():
            stood_at, end = before.get(tp, (at, at))
            if at == stood_at and at < end:
                try:
                    if await self._bus.read(tp, at, records_max=1):
                        return True
                except PositionLostError:
                    return True  # Of which the consumer should have told.
        return False


class Watchdog:
    """Watches the consumers of the workers that *at_work* names now, with the buses that they
    consume; each may stand still for *limit_s*.
    """

    def __init__(
        self,
        at_work: Callable[[], Mapping[StreamWorker, Bus]],
        *,
        clock: Clock,
        limit_s: float,
        metrics: Metrics,
    ) -> None:
        self._every_s = limit_s / LOOKS
        self._at_work = at_work
        self._watch = partial(ConsumerWatch, clock=clock, limit_s=limit_s, metrics=metrics)
        self._watches: dict[StreamWorker, ConsumerWatch] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Look until *stop*.

        Raises:
            StuckError: a consumer stands still whatever is done.
        """
        while not stop.is_set():
            for worker, bus in self._at_work().items():
                if worker not in self._watches:
                    self._watches[worker] = self._watch(worker, bus=bus)
            for watch in self._watches.values():
                await watch.look()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self._every_s)
