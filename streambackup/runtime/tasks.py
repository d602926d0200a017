"""Tasks that belong together: they start together, and none outlives the others' end.

A part is told to end by an event, finishes what it has begun, and returns. One that fails takes the
rest down the same way.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import structlog

from streambackup.errors import InterruptedRunError, UnfinishedRunError

log = structlog.get_logger()

SIGNALS = (signal.SIGTERM, signal.SIGINT)

Part = Callable[[asyncio.Event], Awaitable[None]]
"""Runs until its event is set, then finishes what it has begun and returns."""


async def supervise(parts: Mapping[str, Part], *, stop: asyncio.Event, drain_s: float) -> None:
    """Run *parts* until all have returned.

    When *stop* is set, or a part fails, all are told to end; what has not ended *drain_s* seconds
    later is cancelled. On return, or when this is cancelled, no part is running any more.

    Raises:
        The first error that a part raised, itself, not in a group.
        UnfinishedRunError: none did, and some had to be cancelled.
    """
    errors: list[Exception] = []
    cut_off: list[str] = []

    async def guarded(name: str, part: Part) -> None:
        try:
            await part(stop)
        except Exception as error:
            errors.append(error)
            log.warning("part_failed", part=name, error=type(error).__name__, reason=str(error))
            stop.set()

    async def cancel_after_drain(tasks: list[asyncio.Task[None]]) -> None:
        await stop.wait()
        await asyncio.sleep(drain_s)
        for task in tasks:
            if task.cancel():
                cut_off.append(task.get_name())
                log.warning("part_cancelled", part=task.get_name(), after_s=drain_s)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(guarded(name, part), name=name) for name, part in parts.items()]
        limit = group.create_task(cancel_after_drain(tasks))
        await asyncio.wait(tasks)
        limit.cancel()
    if errors:
        raise errors[0]
    if cut_off:
        raise UnfinishedRunError(
            f"not finished {drain_s:g} s after being told to end: {', '.join(cut_off)}",
            hint="Nothing is lost, the next start does it; shutdown.drain_s gives more time.",
        )


@contextlib.asynccontextmanager
async def stopped_by_signals(stop: asyncio.Event) -> AsyncIterator[None]:
    """Inside, the first SIGTERM or SIGINT sets *stop*, and a second one ends the body at once.

    Raises:
        InterruptedRunError: the body was ended by a second signal.
    """
    loop = asyncio.get_running_loop()
    body = asyncio.current_task()
    assert body is not None
    at_once = False

    def received(number: signal.Signals) -> None:
        nonlocal at_once
        if not stop.is_set():
            log.info("stopping", signal=number.name)
            stop.set()
        elif not at_once:
            at_once = True
            body.cancel()

    for number in SIGNALS:
        loop.add_signal_handler(number, received, number)
    try:
        yield
    except asyncio.CancelledError:
        if not at_once:
            raise
        body.uncancel()
        raise InterruptedRunError("stopped before everything begun was finished") from None
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
