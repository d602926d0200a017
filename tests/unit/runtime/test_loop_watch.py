"""What holds up the event loop is noticed, counted and named; one stuck ends the process."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
import threading

import pytest
from structlog.testing import capture_logs

from streambackup.errors import StuckError
from streambackup.runtime.clock import SystemClock
from streambackup.runtime.loop_watch import LATE_S, LoopRecord, LoopWatch, where
from streambackup.runtime.metrics import Metrics

LONG_S = 3600.0


class Record(LoopRecord):
    """Says when it was told that the loop was late."""

    def __init__(self) -> None:
        super().__init__(Metrics())
        self.late = threading.Event()
        self.at: str | None = None

    def note(self, late_s: float, at: str | None, now_s: float) -> None:
        super().note(late_s, at, now_s)
        if late_s > LATE_S and at is not None:
            self.at = at
            self.late.set()


def hold_up(record: Record) -> None:
    """Keep the loop until its watch has asked in vain."""
    asked = threading.Thread(target=lambda: record.late.wait(2 * LATE_S))
    asked.start()
    asked.join()


async def test_a_step_that_holds_up_the_loop_is_named() -> None:
    record, stop = Record(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(LoopWatch(record, clock=SystemClock(), limit_s=LONG_S).run(stop))
        while not record.late.is_set():
            hold_up(record)
            await asyncio.sleep(0)
        stop.set()

    assert record.at is not None
    assert record.seen.late_steps >= 1
    assert record.seen.longest_s > LATE_S


def test_the_longest_is_of_this_minute_and_the_one_before() -> None:
    record = LoopRecord(Metrics())
    seen = []
    for minute, late_s in enumerate([0.3, 0.01, 0.02, 0.03]):
        record.note(late_s, None, 60.0 * minute)
        seen.append(record.seen.longest_s)

    assert seen == [0.3, 0.3, 0.02, 0.03]
    assert record.seen.late_steps == 1


def test_a_minute_has_one_line_which_tells_how_many_were_left_out() -> None:
    record = LoopRecord(Metrics())
    with capture_logs() as lines:
        for now_s in (0.0, 1.0, 2.0, 61.0):
            record.note(0.07, f"at {now_s:g}", now_s)

    assert [(line["late_ms"], line["at"], line["left_out"]) for line in lines] == [
        (70, "at 0", 0),
        (70, "at 61", 2),
    ]


def test_what_ours_calls_is_named_with_the_function_of_ours() -> None:
    seen = []

    class Metered(Metrics):
        def _counter(self, *arguments: object, **more: object) -> object:  # type: ignore[override]
            seen.append(where(inspect.currentframe()))
            return super()._counter(*arguments, **more)  # type: ignore[arg-type]

    Metered()

    assert seen[0] is not None
    assert seen[0].startswith("metrics.Metrics._stream > test_loop_watch.")
    assert seen[0].endswith("._counter")


STUCK = """
import asyncio, threading
from streambackup.runtime.clock import SystemClock
from streambackup.runtime.loop_watch import LoopRecord, LoopWatch
from streambackup.runtime.metrics import Metrics

async def main():
    watch = LoopWatch(LoopRecord(Metrics()), clock=SystemClock(), limit_s=1.0)
    asyncio.get_running_loop().call_soon(threading.Event().wait)
    await watch.run(asyncio.Event())

asyncio.run(main())
"""


@pytest.mark.timeout(60)
def test_a_process_whose_loop_is_stuck_ends() -> None:
    ended = subprocess.run([sys.executable, "-c", STUCK], capture_output=True, text=True)

    assert ended.returncode == StuckError.exit_code
    assert "loop_stuck" in ended.stdout + ended.stderr
    assert "wait" in ended.stdout + ended.stderr
