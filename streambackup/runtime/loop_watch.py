"""Watches the event loop from a thread: how late it comes to what is due, and what holds it up.

Everything that waits in the process waits for the loop's next step, heartbeats too. A step that
takes long is one that should have been a thread's.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import NamedTuple

import structlog

from streambackup.errors import StuckError
from streambackup.runtime.clock import Clock
from streambackup.runtime.metrics import Metrics

log = structlog.get_logger()

LATE_S = 0.05
"""No step may take longer."""
WARN_S = 1.0
"""Whoever reads the log for trouble is told from here on: a busy machine makes us wait too."""
ASK_EVERY_S = 0.05
SLICE_S = 1.0
"""What a wait for the loop counts for at most: a process that was stopped meanwhile, the thread
with it, did not wait.
"""
TELL_EVERY_S = 60.0

_OURS = str(Path(__file__).resolve().parent.parent)
_WAITING = {"select", "poll"}


class Lateness(NamedTuple):
    """The longest that the loop was late of late, in seconds, and how often more than ``LATE_S``
    since the start.
    """

    longest_s: float
    late_steps: int


class LoopRecord:
    """What a watch found out; one line in the log for each minute in which the loop was late."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._minute = -1
        self._longest_s = self._before_s = 0.0
        self._count = self._told = 0
        self._told_s: float | None = None

    def note(self, late_s: float, at: str | None, now_s: float) -> None:
        """The loop was *late_s* late, and found in *at* where that is more than ``LATE_S``."""
        minute = int(now_s // TELL_EVERY_S)
        if minute != self._minute:
            self._before_s = self._longest_s if minute == self._minute + 1 else 0.0
            self._minute, self._longest_s = minute, 0.0
        self._longest_s = max(self._longest_s, late_s)
        self._metrics.loop_lag.set(self.seen.longest_s)
        if late_s <= LATE_S:
            return
        self._count += 1
        self._metrics.loop_late.inc()
        if self._told_s is None or now_s - self._told_s >= TELL_EVERY_S:
            more, self._told, self._told_s = self._count - 1 - self._told, self._count, now_s
            tell = log.warning if late_s > WARN_S else log.info
            tell("loop_late", late_ms=round(late_s * 1000), at=at, left_out=more)

    @property
    def seen(self) -> Lateness:
        """In this minute and the one before."""
        return Lateness(max(self._longest_s, self._before_s), self._count)


class _Answer:
    """What the loop is asked for: the time at which it comes to it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.came = threading.Event()
        self.at_s = 0.0

    def __call__(self) -> None:
        self.at_s = self._clock.monotonic_s()
        self.came.set()


class LoopWatch:
    """Asks the running loop twenty times a second to answer."""

    def __init__(
        self,
        record: LoopRecord,
        *,
        clock: Clock,
        limit_s: float,
        end: Callable[[int], object] = os._exit,
    ) -> None:
        self._record = record
        self._clock = clock
        self._limit_s = limit_s
        self._end = end
        self._over = threading.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Watch until *stop*. A loop that does not answer within *limit_s* is beyond help: the
        process is ended, with the exit code of ``StuckError``.
        """
        loop = asyncio.get_running_loop()
        watched = threading.get_ident()
        thread = threading.Thread(target=self._watch, args=(loop, watched), daemon=True)
        thread.start()
        try:
            await stop.wait()
        finally:
            self._over.set()

    def _watch(self, loop: asyncio.AbstractEventLoop, watched: int) -> None:
        while not self._over.wait(ASK_EVERY_S):
            answer = _Answer(self._clock)
            asked_s = self._clock.monotonic_s()
            try:
                loop.call_soon_threadsafe(answer)
            except RuntimeError:  # It is closed.
                return
            at = None if answer.came.wait(LATE_S) else where(sys._current_frames().get(watched))
            waited_s = LATE_S
            while not answer.came.wait(SLICE_S) and not self._over.is_set():
                waited_s += SLICE_S
                if waited_s > self._limit_s:
                    log.error("loop_stuck", for_s=round(waited_s), at=at)
                    self._end(StuckError.exit_code)
                    return
            if not answer.came.is_set():
                return
            self._record.note(answer.at_s - asked_s, at, answer.at_s)


def where(frame: FrameType | None) -> str | None:
    """Where a thread is: in which function of ours, and in which that calls."""
    # Without the lines of code, which would be read from disk.
    stack = [at.f_code for at, _ in traceback.walk_stack(frame)] if frame is not None else []
    if not stack:
        return None
    if stack[0].co_name in _WAITING:
        return "nowhere: other threads or processes have the processor"
    ours = next((code for code in stack if code.co_filename.startswith(_OURS)), stack[0])
    return " > ".join(dict.fromkeys(map(_named, (ours, stack[0]))))


def _named(code: CodeType) -> str:
    return f"{Path(code.co_filename).stem}.{code.co_qualname}"
