"""A worker that is cancelled because its time to drain is over."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Collection, Sequence
from pathlib import Path

from streambackup.bus.port import Record
from streambackup.realtime.account_worker import AccountWorker, SegmentSettings
from streambackup.realtime.stream_worker import Outcome, Turn
from streambackup.runtime.metrics import Metrics
from streambackup.testing.events import MOMENT_MS, put
from tests.support.account_service import AccountService


class SlowWorker(AccountWorker):
    """Its thread goes on only when it is let."""

    def __init__(self, service: AccountService) -> None:
        super().__init__(
            root=service.root,
            moment_ms=MOMENT_MS,
            disk=service.disk,
            clock=service.clock,
            settings=SegmentSettings(),
            metrics=Metrics(),
            filer=service._file_now,
        )
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

    assert handler.happened == ["taken", "ended"]
