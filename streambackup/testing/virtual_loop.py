"""An event loop in virtual time: when nothing is ready, time jumps to what comes next.

All that happens in it follows from its seed. Blocking calls given to an executor begin after a
pause that the seed draws; each has a thread of its own, but only one thread runs at a time: a call
runs on until it ends or asks to be parked (``VirtualLoop.park``), and goes on after another pause.

What runs belongs to a ``Host``, by its context: the loop leaves the steps of one that is stopped
alone until it goes on, as a process that got SIGSTOP. Nothing here reads the real time.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, TypeVar, TypeVarTuple, Unpack

from streambackup.testing.parked_call import ParkedCall

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

PAUSES_S = (0.0, 0.0, 0.001, 0.005, 0.02)
"""How long a blocking call waits for its thread, and a parked one for its turn."""


class DeadlockError(Exception):
    """Nothing is ready, and no time will change that."""


class Host:
    """What steps belong to: a process that can be stopped, and goes on. What its *seed* draws is
    its own: how it comes to its end changes nothing for others.
    """

    def __init__(self, name: str, seed: str = "") -> None:
        self.name = name
        self.random = random.Random(seed)
        self.held: list[_Step] | None = None
        """The steps that wait for it to go on, while it is stopped."""


NOBODY = Host("nobody")
HOST: contextvars.ContextVar[Host] = contextvars.ContextVar("host", default=NOBODY)


class _Step(asyncio.TimerHandle):
    """A callback, due at a virtual time."""

    def __init__(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        args: tuple[*Ts],
        loop: VirtualLoop,
        context: contextvars.Context | None,
    ) -> None:
        self.context = contextvars.copy_context() if context is None else context
        super().__init__(when, callback, args, loop, self.context)
        self.call: Callable[[], object] = lambda: callback(*args)

    @property
    def host(self) -> Host:
        return self.context.get(HOST, NOBODY)


class VirtualLoop(asyncio.BaseEventLoop):
    """Give it to ``asyncio.Runner`` as ``loop_factory``, or use ``run``."""

    def __init__(self, seed: int, *, pauses_s: Sequence[float] = PAUSES_S) -> None:
        super().__init__()
        self._random = random.Random(seed)
        self._pauses_s = pauses_s
        self._now_s = 0.0
        self._due: deque[_Step] = deque()
        self._timers: list[tuple[float, int, _Step]] = []
        self._numbers = itertools.count()
        self._stopped: list[Host] = []
        self.unseen: list[BaseException] = []
        """Errors that nobody looked at."""

    # Time and steps.

    def time(self) -> float:
        return self._now_s

    def call_soon(
        self,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        step = _Step(self._now_s, callback, args, self, context)
        self._due.append(step)
        return step

    # Only one thread runs at a time.
    call_soon_threadsafe = call_soon

    def call_later(
        self,
        delay: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now_s + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        step = _Step(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._numbers), step))
        return step

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """One that was cancelled is dropped when its time comes."""

    def _advance(self) -> None:
        """Make ready what is due; where nothing is ready, jump to what comes next.

        Raises:
            DeadlockError: nothing does.
        """
        while not self._due:
            while self._timers and self._timers[0][2].cancelled():
                heapq.heappop(self._timers)
            if not self._timers:
                waiting = "; ".join(self._waiting())
                for host in list(self._stopped):  # Else nobody could be told to end.
                    self.go_on(host)
                raise DeadlockError(waiting or "nothing is left to run")
            self._now_s = max(self._now_s, self._timers[0][0])
            while self._timers and self._timers[0][0] <= self._now_s:
                self._due.append(heapq.heappop(self._timers)[2])

    def _waiting(self) -> Iterator[str]:
        for task in sorted(asyncio.all_tasks(self), key=lambda task: task.get_name()):
            frames = task.get_stack()
            at = "its start"
            if frames:
                code = frames[-1].f_code
                at = f"{code.co_qualname}, line {frames[-1].f_lineno}"
            yield f"{task.get_name()} waits in {at}"

    def _run_once(self) -> None:
        """What the base class repeats until it is stopped: one step."""
        self._advance()
        step = self._due.popleft()
        if step.cancelled():
            return
        if (held := step.host.held) is not None:
            held.append(step)
        else:
            step.context.run(step.call)

    # Hosts.

    def stop_host(self, host: Host) -> None:
        """Leave *host*'s steps alone until ``go_on``."""
        if host.held is None:
            host.held = []
            self._stopped.append(host)

    def go_on(self, host: Host) -> None:
        """What waited for *host* is due now."""
        if host.held is not None:
            self._due.extend(host.held)
            self._stopped.remove(host)
            host.held = None

    # Blocking calls.

    def pause_s(self) -> float:
        """How long something waits for its turn."""
        host = HOST.get()
        return (self._random if host is NOBODY else host.random).choice(self._pauses_s)

    def run_in_executor(
        self, executor: Any, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        future: asyncio.Future[T] = self.create_future()
        context = contextvars.copy_context()
        call = ParkedCall(lambda: context.run(func, *args))
        self.call_later(self.pause_s(), self._go_on_with, call, future)
        return future

    def _go_on_with(self, call: ParkedCall, future: asyncio.Future[Any]) -> None:
        if not call.go_on():
            self.call_later(self.pause_s(), self._go_on_with, call, future)
        elif not future.cancelled():
            call.tell(future)

    @staticmethod
    def park() -> None:
        """Called by a blocking call in its thread: let others run first."""
        ParkedCall.park()

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep errors that nobody looked at."""
        if (error := context.get("exception")) is not None:
            self.unseen.append(error)


def run(coro: Coroutine[Any, Any, T], *, seed: int) -> T:
    """Run *coro* to its end in a loop of its own."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(seed)) as runner:
        return runner.run(coro)
