"""Supervision: parts end together, in time, with the first real error."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from streambackup.errors import InterruptedRunError, StoreError, UnfinishedRunError
from streambackup.runtime.tasks import stopped_by_signals, supervise

LONG_S = 3600.0


class Part:
    """Runs until told to end, then writes its name down."""

    def __init__(self, name: str, ended: list[str]) -> None:
        self.name = name
        self.ended = ended
        self.running = asyncio.Event()

    async def __call__(self, stop: asyncio.Event) -> None:
        self.running.set()
        await stop.wait()
        self.ended.append(self.name)


async def test_all_parts_end_when_told_to() -> None:
    ended: list[str] = []
    stop = asyncio.Event()
    parts = {name: Part(name, ended) for name in "ab"}
    async with asyncio.TaskGroup() as group:
        group.create_task(supervise(parts, stop=stop, drain_s=LONG_S))
        for part in parts.values():
            await part.running.wait()
        stop.set()
    assert sorted(ended) == ["a", "b"]


async def test_a_part_that_fails_takes_the_rest_down_cleanly_and_is_the_error() -> None:
    ended: list[str] = []
    rest = Part("rest", ended)

    async def fails(stop: asyncio.Event) -> None:
        await rest.running.wait()
        raise StoreError("the disk is on fire")

    with pytest.raises(StoreError, match="on fire"):
        await supervise({"fails": fails, "rest": rest}, stop=asyncio.Event(), drain_s=LONG_S)
    assert ended == ["rest"]


async def test_the_first_error_is_raised_not_what_followed_from_it() -> None:
    async def fails_first(stop: asyncio.Event) -> None:
        raise StoreError("first")

    async def fails_then(stop: asyncio.Event) -> None:
        await stop.wait()
        raise StoreError("second")

    with pytest.raises(StoreError, match="first"):
        await supervise(
            {"then": fails_then, "first": fails_first}, stop=asyncio.Event(), drain_s=LONG_S
        )


async def test_a_part_that_does_not_end_in_time_is_cancelled() -> None:
    cancelled = asyncio.Event()

    async def deaf(stop: asyncio.Event) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    stop = asyncio.Event()
    stop.set()
    with pytest.raises(UnfinishedRunError, match="deaf"):
        await supervise({"deaf": deaf}, stop=stop, drain_s=0)
    assert cancelled.is_set()


async def test_what_failed_is_the_error_though_something_was_cancelled_too() -> None:
    async def fails(stop: asyncio.Event) -> None:
        raise StoreError("first")

    async def deaf(stop: asyncio.Event) -> None:
        await asyncio.Event().wait()

    with pytest.raises(StoreError, match="first"):
        await supervise({"deaf": deaf, "fails": fails}, stop=asyncio.Event(), drain_s=0)


async def test_parts_that_return_by_themselves_end_the_whole_without_a_signal() -> None:
    async def quick(stop: asyncio.Event) -> None:
        return

    stop = asyncio.Event()
    await supervise({"quick": quick}, stop=stop, drain_s=LONG_S)
    assert not stop.is_set()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_first_signal_asks_to_stop(number: signal.Signals) -> None:
    stop = asyncio.Event()
    async with stopped_by_signals(stop):
        os.kill(os.getpid(), number)
        await stop.wait()
    assert stop.is_set()


async def test_a_second_signal_ends_at_once() -> None:
    async def never_drained() -> None:
        stop = asyncio.Event()
        async with stopped_by_signals(stop):
            os.kill(os.getpid(), signal.SIGTERM)
            await stop.wait()
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.Event().wait()

    with pytest.raises(InterruptedRunError):
        await never_drained()


async def test_a_cancellation_from_elsewhere_stays_one() -> None:
    inside = asyncio.Event()

    async def body() -> None:
        async with stopped_by_signals(asyncio.Event()):
            inside.set()
            await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(body())
        await inside.wait()
        task.cancel()
    assert task.cancelled()
