"""A process whose consumers all hang: python -m tests.support.stuck_service DIRECTORY."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import cast

from cyclopts import App

from streambackup.cli.main import run_command
from streambackup.runtime.clock import SystemClock
from streambackup.runtime.metrics import Metrics
from streambackup.runtime.tasks import supervise
from streambackup.service.watchdog import Watchdog
from streambackup.testing.events import put
from streambackup.testing.memory_bus import MemoryBus
from tests.support.account_service import AccountService, ServedWorker
from tests.support.stalling_bus import Stall, StallingBus

LIMIT_S = 0.6
FOR_EVER = 10**9


def stuck(directory: Path) -> None:
    asyncio.run(_work(directory))


async def _work(directory: Path) -> None:
    service = AccountService(directory)
    service.fetch_wait_ms = 10
    await service.create()
    bus = StallingBus(service.bus, Stall.HANGS, broken=FOR_EVER)
    service.bus = cast(MemoryBus, bus)
    service.publish(put("m", 1))
    worker = service.worker(ServedWorker(service))
    watchdog = Watchdog(
        lambda: {worker: service.bus}, clock=SystemClock(), limit_s=LIMIT_S, metrics=Metrics()
    )
    parts = {"worker": worker.run, "watchdog": watchdog.run}
    await supervise(parts, stop=asyncio.Event(), drain_s=0.1)


if __name__ == "__main__":
    app = App()
    app.command(stuck)
    sys.exit(run_command(["stuck", *sys.argv[1:]], app))
