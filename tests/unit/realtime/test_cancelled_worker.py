"""What waits for the thread: the end of a cancelled worker, and the beginning of a turn."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Collection, Sequence
from pathlib import Path

from streambackup.bus.port import Record
from streambackup.realtime.turn import Outcome, Turn
from streambackup.testing.events import put
from tests.support.account_service import AccountService, ServedWorker


class SlowWorker(ServedWorker):
    """Its thread goes on only when it is let."""

    def __init__(self, service: AccountService) -> None:
        super().__init__(service)
        self._loop = asyncio.get_running_loop()
        self.taking = asyncio.Event()
        self.let_go = threading.Event()
        self.happened: list[str] = []

    def take(self, batches: Sequence[tuple[Turn, Sequence[Record]]]) -> list[Outcome]:
        self._loop.call_soon_threadsafe(self.taking.set)
        self.let_go.wait()
        outcomes = super().take(batches)
        self.happened.append("taken")
        return outcomes

    def began(self, turn: Turn, filed_to: int) -> int:
        self.happened.append("began")
        return super().began(turn, filed_to)

    async def ended(self, turns: Collection[Turn], *, drained: bool) -> None:
        self.happened += ["ended"] * len(turns)
        await super().ended(turns, drained=drained)


async def test_a_cancelled_worker_seals_only_when_its_thread_is_done(tmp_path: Path) -> None:
    """Sealed before, the segment is closed under the thread that appends to it."""
    service = AccountService(tmp_path, batch_records_max=1)
    await service.create()
    service.publish(*[put("m", number) for number in range(1, 4)])
    handler = SlowWorker(service)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(service.worker(handler).run(asyncio.Event()))
        await handler.taking.wait()
        for _ in range(50):  # Until it waits for its thread.
            await asyncio.sleep(0)
        running.cancel()
        for _ in range(50):  # Until it would have ended, if it did not wait.
            await asyncio.sleep(0)
        handler.let_go.set()

    assert handler.happened == ["began", "taken", "ended"]


async def test_a_turn_begins_only_when_the_thread_is_done_with_the_others(tmp_path: Path) -> None:
    """It looks through the turns there are while one more would come among them."""
    service = AccountService(tmp_path, partitions=2)
    await service.create()
    service.publish(*[put("m", number) for number in range(1, 4)])
    handler = SlowWorker(service)
    handler.by_partition = False
    handler.gather_bytes = 1 << 20  # It goes on fetching while the thread is busy.
    stop = asyncio.Event()
    worker = service.worker(handler)
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.run(stop))
        await handler.taking.wait()
        handler.happened.clear()
        group.create_task(worker.assigned([service.partition(1)]))
        for _ in range(200):  # Until it would have begun, if it did not wait.
            await asyncio.to_thread(handler.let_go.is_set)
        began_early = list(handler.happened)
        stop.set()
        handler.let_go.set()

    assert began_early == []
    assert handler.happened[:2] == ["taken", "began"]
