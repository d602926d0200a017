"""Giving partitions back takes no longer than the group waits, whatever is under way."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from streambackup.bus.port import Record, partition_of
from streambackup.errors import StoreError
from streambackup.realtime.account_worker import SegmentSettings
from streambackup.realtime.turn import Outcome, Turn
from streambackup.testing.events import TIME_MS, put
from tests.support.account_service import GROUP, AccountService, ServedWorker

ZERO, ONE = (
    next(name for name in ("anna", "bert", "carl") if partition_of(name.encode(), 2) == number)
    for number in range(2)
)


class Gated(ServedWorker):
    """Its thread goes on only when it is let; says what happened in which partition."""

    def __init__(self, service: AccountService) -> None:
        super().__init__(service)
        self.beginning = threading.Event()
        self.may_begin = threading.Event()
        self.may_begin.set()
        self.taking = threading.Event()
        self.may_take = threading.Event()
        self.happened: list[tuple[str, int]] = []

    def began(self, turn: Turn, filed_to: int) -> int:
        self.beginning.set()
        self.may_begin.wait()
        return super().began(turn, filed_to)

    def take(self, batches: Sequence[tuple[Turn, Sequence[Record]]]) -> list[Outcome]:
        self.taking.set()
        self.may_take.wait()
        outcomes = super().take(batches)
        self.happened += [("taken", turn.tp.partition) for turn, _ in batches]
        return outcomes

    async def ended(self, turns: Collection[Turn], *, drained: bool) -> None:
        self.happened += [("ended", turn.tp.partition) for turn in turns]
        await super().ended(turns, drained=drained)


async def until(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.to_thread(lambda: None)


async def hurried_service(root: Path) -> AccountService:
    """Two partitions with a record each, given back without waiting for anything."""
    service = AccountService(root, partitions=2, batch_records_max=10)
    service.revoke_limit_s = 0
    await service.create()
    service.publish(put("m", 1, account=ZERO), put("m", 1, account=ONE))
    return service


async def test_what_the_thread_has_in_hand_does_not_hold_up_a_revocation(tmp_path: Path) -> None:
    """It is sealed when the thread is done, and the other partition goes on."""
    service = await hurried_service(tmp_path)
    handler, stop = Gated(service), asyncio.Event()
    worker = service.worker(handler)
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.run(stop))
        await until(handler.taking.is_set)
        await worker.revoked([service.partition(0)])
        happened_before = list(handler.happened)
        handler.may_take.set()
        await until(lambda: ("ended", 0) in handler.happened)
        later = TIME_MS + 1_000
        service.publish(*[put("m", 2, account=one, time_ms=later, n=2) for one in (ZERO, ONE)])
        await until(lambda: handler.happened.count(("taken", 1)) == 2)
        stop.set()

    assert happened_before == []
    assert handler.happened.count(("taken", 0)) == 1
    assert handler.happened.count(("ended", 0)) == 1
    acknowledged = await service.bus.acknowledged(GROUP)
    assert acknowledged == {service.partition(0): 0, service.partition(1): 2}
    histories = [service.reader().history(account).items["m"] for account in (ZERO, ONE)]
    assert [len(history.states) for history in histories] == [1, 2]


async def test_the_next_owner_repeats_what_was_abandoned(tmp_path: Path) -> None:
    """The zombie's append comes after the other's, and changes nothing."""
    service = await hurried_service(tmp_path)
    handler = Gated(service)
    worker = service.worker(handler)
    async with asyncio.TaskGroup() as group:
        stop = asyncio.Event()
        group.create_task(worker.run(stop))
        await until(handler.taking.is_set)
        await worker.revoked([service.partition(0), service.partition(1)])
        assert await service.work() is None
        before = service.reader().history(ZERO)
        handler.may_take.set()
        await until(lambda: handler.happened.count(("ended", 0)) == 1)
        stop.set()

    assert [name.epoch.number for name in service.path(0).segments()] == [1, 1]
    after = service.reader().history(ZERO)
    assert (after.items, after.doubts) == (before.items, ())


async def test_a_partition_taken_away_while_its_turn_begins_has_none(tmp_path: Path) -> None:
    service = await hurried_service(tmp_path)
    handler, stop = Gated(service), asyncio.Event()
    handler.may_take.set()
    handler.may_begin.clear()
    worker = service.worker(handler)
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.run(stop))
        await until(handler.beginning.is_set)
        await worker.revoked([service.partition(0)])
        handler.may_begin.set()
        await until(lambda: ("taken", 1) in handler.happened)
        stop.set()

    assert handler.happened.count(("ended", 0)) == 1
    assert ("taken", 0) not in handler.happened
    assert service.path(0).segments() == []


async def test_a_filing_under_way_does_not_hold_up_a_revocation(tmp_path: Path) -> None:
    """How it ends is no longer this worker's affair: the next owner files the same."""
    service = await hurried_service(tmp_path)
    service.revoke_limit_s = 3_600
    service.files = False
    handler, stop = Gated(service), asyncio.Event()
    handler.may_take.set()
    worker = service.worker(handler)
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.run(stop))
        await until(lambda: {("taken", 0), ("taken", 1)} <= set(handler.happened))
        service.clock.advance(ms=SegmentSettings().segment_age_ms)
        await until(lambda: len(service._held) == 2)
        await worker.revoked([service.partition(0), service.partition(1)])
        for filing in service._held:
            filing.set_exception(StoreError("the filing process died"))
        stop.set()

    assert handler.happened[-2:] == [("ended", 0), ("ended", 1)]
    service.files = True
    assert await service.work() is None
    assert [len(service.path(number).segments()) for number in range(2)] == [1, 1]
    assert len(service.reader().history(ZERO).items["m"].states) == 1
