"""A disk that takes long with one partition, or with all of them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import pytest

from streambackup.bus.local_consumer import Found
from streambackup.bus.port import Record, TopicPartition, partition_of
from streambackup.realtime.stream_worker import StreamWorker
from streambackup.realtime.turn import Outcome, Turn
from streambackup.testing.events import TIME_MS, put
from streambackup.testing.lossy_disk import LossyDisk, LossyFile
from streambackup.testing.memory_bus import MemoryBus
from streambackup.testing.virtual_loop import VirtualLoop, run
from tests.support.account_service import AccountService, ServedWorker
from tests.support.manual_clock import ManualClock

BATCH_RECORDS = 3
RECORDS = 10 * BATCH_RECORDS


def accounts(partitions: int) -> list[str]:
    """One for each partition."""
    names = [f"account{n}" for n in range(50 * partitions)]
    of = {partition_of(name.encode(), partitions): name for name in reversed(names)}
    return [of[number] for number in range(partitions)]


class HeldDisk(LossyDisk):
    """Keeps whoever syncs a journal of the partitions that it *holds* waiting, parked."""

    holds = frozenset[int]()

    def sync_open(self, file: LossyFile, life: int) -> None:
        while file.path.parent.name in {str(number) for number in self.holds}:
            VirtualLoop.park()
        super().sync_open(file, life)


class CountingBus(MemoryBus):
    """Counts the records that it handed out of each partition."""

    def __init__(self) -> None:
        super().__init__(clock=ManualClock(TIME_MS))
        self.handed = dict.fromkeys(range(8), 0)

    async def _look(self, wanted: Mapping[TopicPartition, int], records_max: int) -> Found:
        found = await super()._look(wanted, records_max)
        for tp, records in found.records.items():
            self.handed[tp.partition] += len(records)
        return found


class Rig:
    """A worker of two partitions, or more, with records in each, on a disk that can hold it up."""

    def __init__(self, root: Path, partitions: int = 2) -> None:
        self.bus = CountingBus()
        self.service = AccountService(
            root / "store", bus=self.bus, partitions=partitions, batch_records_max=BATCH_RECORDS
        )
        self.service.fetch_wait_ms = 10
        self.disk = self.service.disk = HeldDisk(root / "store")
        self.accounts = accounts(partitions)
        self.worker = self.service.worker(ServedWorker(self.service))

    async def while_held(
        self, held: frozenset[int], look: Callable[[Rig], Awaitable[None]]
    ) -> None:
        """Publish, work while the disk holds some partitions until *look* has seen enough, let
        them go, and work on to the end.
        """
        await self.service.create()
        for n in range(1, RECORDS + 1):
            at = TIME_MS + 1_000 * n
            self.service.publish(
                *(put("m", n, account=account, time_ms=at, n=n) for account in self.accounts)
            )
        self.disk.holds = held
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.worker.run(stop), name="worker")
            try:
                await look(self)
            finally:
                self.disk.holds = frozenset()
            await self.until(lambda: all(self.position(n) == RECORDS for n in range(2)))
            stop.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            await asyncio.to_thread(lambda: None)

    def position(self, number: int) -> int:
        turn = self.worker._turns.get(self.service.partition(number))
        return 0 if turn is None else turn.owner.position

    def states(self, account: str) -> list[int]:
        history = self.service.reader().history(account)
        assert history.doubts == ()
        return [state.state["n"] for state in history.items["m"].states]

    def saw_everything(self) -> bool:
        return all(self.states(one) == list(range(1, RECORDS + 1)) for one in self.accounts)


async def all_of_one(rig: Rig) -> None:
    await rig.until(lambda: rig.position(1) == RECORDS)
    fetches = rig.worker.member.pulse().fetches
    await rig.until(lambda: rig.worker.member.pulse().fetches > fetches + 20)
    assert rig.worker.slow == [rig.service.partition(0)]
    assert rig.position(0) == 0


@pytest.mark.parametrize("seed", range(5))
def test_one_partition_waits_for_its_disk_and_the_other_goes_on(tmp_path: Path, seed: int) -> None:
    """It still asks the bus, so that its group does not take it for dead; all is there at last."""
    rig = Rig(tmp_path)
    run(rig.while_held(frozenset({0}), all_of_one), seed=seed)

    assert rig.saw_everything()
    assert rig.worker.slow == []


@pytest.mark.row("F023", part="memory beside a slow disk")
@pytest.mark.parametrize("seed", range(5))
def test_no_more_is_read_of_it_than_one_batch_beside_that_at_work(
    tmp_path: Path, seed: int
) -> None:
    rig = Rig(tmp_path)
    read = []

    async def look(rig: Rig) -> None:
        await all_of_one(rig)
        read.append(rig.bus.handed[0])

    run(rig.while_held(frozenset({0}), look), seed=seed)

    assert read[0] <= 2 * BATCH_RECORDS


@pytest.mark.parametrize("seed", range(5))
def test_where_the_disk_holds_up_all_threads_nothing_is_read_and_the_bus_is_still_asked(
    tmp_path: Path, seed: int
) -> None:
    rig = Rig(tmp_path, partitions=8)
    read = []

    async def look(rig: Rig) -> None:
        await rig.until(lambda: len(rig.worker.slow) == 8)
        fetches = rig.worker.member.pulse().fetches
        read.append(sum(rig.bus.handed.values()))
        await rig.until(lambda: rig.worker.member.pulse().fetches > fetches + 20)
        read.append(sum(rig.bus.handed.values()))

    run(rig.while_held(frozenset(range(8)), look), seed=seed)

    assert read[0] == read[1] < 8 * RECORDS
    assert rig.saw_everything()


@pytest.mark.parametrize("seed", range(5))
def test_a_partition_that_comes_back_while_its_disk_is_slow_begins_when_that_is_done(
    tmp_path: Path, seed: int
) -> None:
    """Else two of our own turns would write at once, into one index too where there is one."""
    rig = Rig(tmp_path)
    rig.service.revoke_limit_s = 0
    rig.worker = rig.service.worker(ServedWorker(rig.service))
    begun = []

    async def look(rig: Rig) -> None:
        await all_of_one(rig)
        both = [rig.service.partition(0), rig.service.partition(1)]
        await rig.worker.revoked(both)
        begun.append(await rig.worker.assigned(both))
        await rig.until(lambda: rig.position(1) == RECORDS)
        begun.append(rig.worker.reads_from)

    run(rig.while_held(frozenset({0}), look), seed=seed)

    one = rig.service.partition(1)
    assert begun == [{one: RECORDS}, {one: RECORDS}]
    assert rig.saw_everything()


class Counted(ServedWorker):
    """Holds every batch until so many are at work at once as there are *threads*."""

    def __init__(self, service: AccountService, threads: int) -> None:
        super().__init__(service)
        self._together = threading.Barrier(threads)
        self._lock = threading.Lock()
        self.at_once = self.most = 0

    def take(self, batches: Sequence[tuple[Turn, Sequence[Record]]]) -> list[Outcome]:
        with self._lock:
            self.at_once += 1
            self.most = max(self.most, self.at_once)
        self._together.wait()
        outcomes = super().take(batches)
        with self._lock:
            self.at_once -= 1
        return outcomes


@pytest.mark.row("F022")
@pytest.mark.parametrize("threads", [1, 2, 8])
async def test_as_many_partitions_are_made_durable_at_once_as_the_setting_says(
    tmp_path: Path, threads: int
) -> None:
    service = AccountService(tmp_path / "store", partitions=8, batch_records_max=100)
    service.threads = threads
    await service.create()
    service.publish(*(put("m", 1, account=account) for account in accounts(8)))
    handler = Counted(service, threads)
    worker: StreamWorker = service.worker(handler)
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.run(stop))
        while not await service.is_caught_up():
            await asyncio.to_thread(lambda: None)
        stop.set()

    assert handler.most == threads
