"""While a batch is made durable the next one grows, up to a bound."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import pytest

from streambackup.bus.local_consumer import Found
from streambackup.bus.port import Record, TopicPartition
from streambackup.realtime.turn import Outcome, Turn
from streambackup.testing.events import TIME_MS, put
from streambackup.testing.memory_bus import MemoryBus
from tests.support.account_service import AccountService, ServedWorker
from tests.support.manual_clock import ManualClock

RECORDS = 7
ENOUGH = 1_000_000


class LookedAtBus(MemoryBus):
    """Calls *look* before each look into its partitions."""

    def __init__(self) -> None:
        super().__init__(clock=ManualClock(TIME_MS))
        self.looks = 0
        self.look: Callable[[], None] = lambda: None

    async def _look(self, wanted: Mapping[TopicPartition, int], records_max: int) -> Found:
        self.looks += 1
        self.look()
        return await super()._look(wanted, records_max)


class GatheringWorker(ServedWorker):
    """Holds its first batch until it is let go, notes how large each one was, makes space when
    there was none, and stops its worker when everything is acknowledged.
    """

    def __init__(self, service: AccountService, gather_bytes: int) -> None:
        super().__init__(service)
        self.gather_bytes = gather_bytes
        self._service = service
        self.stop = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.taking = asyncio.Event()
        self.let_go = threading.Event()
        self.sizes: list[int] = []
        self.outcomes: list[Outcome] = []

    def take(self, batches: Sequence[tuple[Turn, Sequence[Record]]]) -> list[Outcome]:
        self._loop.call_soon_threadsafe(self.taking.set)
        self.let_go.wait()
        self.sizes.append(sum(len(records) for _, records in batches))
        outcomes = super().take(batches)
        self.outcomes += outcomes
        return outcomes

    async def tick(self, turns: Collection[Turn]) -> list[Outcome]:
        if await self._service.is_caught_up():
            self.stop.set()
        if self.outcomes:
            self._service.disk.make_space()
            self._service.clock.advance(ms=1_000)
        return await super().tick(turns)


class Rig:
    """A worker that fetches one record at a time, of an account's few."""

    def __init__(self, root: Path, gather_bytes: int) -> None:
        self.bus = LookedAtBus()
        self.service = AccountService(root, batch_records_max=1, bus=self.bus)
        self.handler = GatheringWorker(self.service, gather_bytes)

    async def sizes(self) -> list[int]:
        """Of its batches, the first of which takes as long as the worker finds more to do."""
        await self.service.create()
        self.service.publish(*[put(f"m{number}", number) for number in range(1, RECORDS + 1)])
        async with asyncio.TaskGroup() as group:
            group.create_task(self.service.worker(self.handler).run(self.handler.stop))
            await self.handler.taking.wait()
            for _ in range(200):  # Until it has fetched all that it will.
                await asyncio.sleep(0)
            self.handler.let_go.set()
        return self.handler.sizes


async def test_what_comes_meanwhile_is_the_next_batch(tmp_path: Path) -> None:
    assert await Rig(tmp_path, ENOUGH).sizes() == [1, RECORDS - 1]


@pytest.mark.parametrize(("records", "second"), [(0, 1), (2, 2), (3, 3)])
async def test_no_more_is_gathered_than_the_bound(
    tmp_path: Path, records: int, second: int
) -> None:
    size = 100 * records  # A record of this test has more than 100 bytes, and less than 200.

    assert (await Rig(tmp_path, size).sizes())[:2] == [1, second]


async def test_a_worker_that_is_stopped_gathers_no_more(tmp_path: Path) -> None:
    rig = Rig(tmp_path, ENOUGH)

    def look() -> None:
        if rig.bus.looks == 4:
            rig.handler.stop.set()

    rig.bus.look = look

    assert await rig.sizes() == [1, 3]


async def test_what_was_gathered_for_a_turn_that_ends_is_read_again_by_the_next(
    tmp_path: Path,
) -> None:
    rig = Rig(tmp_path, ENOUGH)
    rig.service.disk.full_at_write = 1  # Which ends the turn of its first batch.
    await rig.sizes()

    items = rig.service.reader().history("anna").items
    assert set(items) == {f"m{number}" for number in range(1, RECORDS + 1)}
    assert sum(rig.handler.sizes) > RECORDS
