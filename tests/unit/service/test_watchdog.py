"""Consumers that stop moving are made anew; what only waits is left alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import Any, cast

import pytest

from streambackup.bus.port import Bounds, Bus, TopicPartition
from streambackup.errors import BusError, StuckError
from streambackup.realtime.stream_worker import StreamWorker
from streambackup.runtime.metrics import Metrics
from streambackup.runtime.tasks import supervise
from streambackup.service.watchdog import Watchdog
from streambackup.testing.events import TIME_MS, put
from streambackup.testing.lossy_disk import LossyDisk, LossyFile
from streambackup.testing.memory_bus import MemoryBus
from streambackup.testing.simulation.process import SimulatedClock
from streambackup.testing.virtual_loop import VirtualLoop, run
from tests.support.account_service import AccountService, ServedWorker
from tests.support.manual_clock import ManualClock
from tests.support.stalling_bus import Stall, StallingBus, pass_time

LIMIT_S = 60.0
HOUR_S = 3600.0
RECORDS = 30
FOR_EVER = 10**9


class Rig:
    """A worker and its watchdog, in virtual time."""

    def __init__(self, root: Path, memory: MemoryBus | None = None) -> None:
        self.service = AccountService(root / "store", bus=memory)
        self.service.fetch_wait_ms = 1_000
        self.memory = self.service.bus
        self.metrics = Metrics()
        self.stop = asyncio.Event()

    def stall(self, stall: Stall, *, broken: int) -> StallingBus:
        bus = StallingBus(self.memory, stall, broken=broken)
        self.service.bus = cast(MemoryBus, bus)
        return bus

    async def work(
        self, until: Callable[[], Awaitable[object]], *, watched_after_s: float = 0
    ) -> None:
        """Publish, and work until *until* comes back; the watchdog hears of the worker after so
        long.
        """
        await self.service.create()
        for n in range(1, RECORDS + 1):
            self.service.publish(put("m", n, time_ms=TIME_MS + 1_000 * n, n=n))
        loop = cast(VirtualLoop, asyncio.get_running_loop())
        worker: StreamWorker = self.service.worker(ServedWorker(self.service))
        at_work: dict[StreamWorker, Bus] = {}
        loop.call_later(watched_after_s, at_work.update, {worker: self.service.bus})
        watchdog = Watchdog(
            lambda: at_work,
            clock=SimulatedClock(loop, TIME_MS),
            limit_s=LIMIT_S,
            metrics=self.metrics,
        )

        async def end(stop: asyncio.Event) -> None:
            await until()
            stop.set()

        parts = {"worker": worker.run, "watchdog": watchdog.run, "end": end}
        await supervise(parts, stop=self.stop, drain_s=10)

    async def caught_up(self) -> None:
        while not await self.service.is_caught_up():
            await asyncio.to_thread(lambda: None)

    @property
    def rebuilt(self) -> float:
        return sum(
            sample.value
            for family in self.metrics.consumers_rebuilt.collect()
            for sample in family.samples
        )

    def states(self) -> list[int]:
        history = self.service.reader().history("anna")
        assert history.doubts == ()
        return [state.state["n"] for state in history.items["m"].states]


@pytest.mark.parametrize("stall", [Stall.HANGS, Stall.FAILS, Stall.HANDS_NOTHING_OUT])
def test_a_consumer_that_stops_is_made_anew_and_nothing_is_lost(
    tmp_path: Path, stall: Stall
) -> None:
    async def main() -> tuple[Rig, StallingBus]:
        rig = Rig(tmp_path)
        bus = rig.stall(stall, broken=1)
        await rig.work(rig.caught_up)
        return rig, bus

    rig, bus = run(main(), seed=1)
    assert (bus.consumers, rig.rebuilt) == (2, 1)
    assert rig.states() == list(range(1, RECORDS + 1))


def test_the_worker_of_a_later_generation_is_watched_too(tmp_path: Path) -> None:
    async def main() -> Rig:
        rig = Rig(tmp_path)
        rig.stall(Stall.HANGS, broken=1)
        await rig.work(rig.caught_up, watched_after_s=2 * LIMIT_S)
        return rig

    assert run(main(), seed=1).rebuilt == 1


def test_one_that_its_group_does_not_hear_of_is_made_anew(tmp_path: Path) -> None:
    """It may have nothing to read, or hand out what is another's by now."""

    async def main() -> StallingBus:
        rig = Rig(tmp_path)
        bus = rig.stall(Stall.IS_FORGOTTEN, broken=1)
        await rig.work(lambda: pass_time(4 * LIMIT_S))
        return bus

    assert run(main(), seed=1).consumers == 2


@pytest.mark.parametrize("stall", list(Stall))
def test_where_a_new_one_stops_too_the_service_ends(tmp_path: Path, stall: Stall) -> None:
    async def main() -> tuple[float, StuckError]:
        rig = Rig(tmp_path)
        rig.stall(stall, broken=FOR_EVER)
        with pytest.raises(StuckError) as caught:
            await rig.work(lambda: pass_time(HOUR_S))
        return asyncio.get_running_loop().time(), caught.value

    took_s, error = run(main(), seed=1)
    assert took_s <= 4 * LIMIT_S
    assert error.exit_code == 22
    assert "mailbox.transactions" in error.message


class AwayBus(MemoryBus):
    """Answers nobody from some time on."""

    away_s = 1.0

    def _expect_answer(self) -> None:
        if asyncio.get_running_loop().time() > self.away_s:
            raise BusError("the brokers cannot be reached")

    async def _look(self, *asked: Any) -> Any:
        self._expect_answer()
        return await super()._look(*asked)

    async def bounds(self, topics: Collection[str]) -> dict[TopicPartition, Bounds]:
        self._expect_answer()
        return await super().bounds(topics)


def test_a_bus_that_is_away_is_waited_for(tmp_path: Path) -> None:
    async def main() -> Rig:
        rig = Rig(tmp_path, AwayBus(clock=ManualClock(TIME_MS)))
        await rig.work(lambda: pass_time(HOUR_S))
        return rig

    assert run(main(), seed=1).rebuilt == 0


def test_a_consumer_with_nothing_to_read_is_left_alone(tmp_path: Path) -> None:
    async def main() -> Rig:
        rig = Rig(tmp_path)
        await rig.work(lambda: pass_time(HOUR_S))
        return rig

    rig = run(main(), seed=1)
    assert rig.rebuilt == 0
    assert rig.states() == list(range(1, RECORDS + 1))


class HeldDisk(LossyDisk):
    held = True

    def sync_open(self, file: LossyFile, life: int) -> None:
        while self.held:
            VirtualLoop.park()
        super().sync_open(file, life)


def test_a_partition_that_waits_for_its_disk_is_no_stuck_consumer(tmp_path: Path) -> None:
    async def main() -> Rig:
        rig = Rig(tmp_path)
        disk = rig.service.disk = HeldDisk(rig.service.root)

        async def let_go() -> None:
            await pass_time(2.5 * LIMIT_S)
            disk.held = False
            await rig.caught_up()

        await rig.work(let_go)
        return rig

    rig = run(main(), seed=1)
    assert rig.rebuilt == 0
    assert rig.states() == list(range(1, RECORDS + 1))
