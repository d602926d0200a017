"""The loop in virtual time: it waits for nothing real, and does the same for the same seed."""

from __future__ import annotations

import asyncio
import contextvars

import pytest

from streambackup.testing.virtual_loop import (
    HOST,
    DeadlockError,
    Host,
    VirtualLoop,
    run,
)

HOUR_S = 3600


async def after(delay_s: float, what: str, seen: list[str]) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(delay_s):
            await asyncio.Event().wait()
    seen.append(what)


def test_time_jumps_to_what_comes_next() -> None:
    seen: list[str] = []

    async def main() -> float:
        async with asyncio.TaskGroup() as group:
            group.create_task(after(2 * HOUR_S, "late", seen))
            group.create_task(after(HOUR_S, "early", seen))
        return asyncio.get_running_loop().time()

    assert run(main(), seed=0) == 2 * HOUR_S
    assert seen == ["early", "late"]


def order_of(seed: int) -> list[int]:
    """In which order twenty blocking calls, each with a pause inside, came to their ends."""
    seen: list[int] = []

    def block(number: int) -> None:
        VirtualLoop.park()
        seen.append(number)

    async def main() -> None:
        await asyncio.gather(*(asyncio.to_thread(block, number) for number in range(20)))

    run(main(), seed=seed)
    return seen


def test_a_seed_decides_when_blocking_calls_run() -> None:
    orders = [order_of(seed) for seed in (1, 1, 2)]

    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == list(range(20))


def test_what_blocking_calls_return_and_raise_comes_back() -> None:
    async def main() -> int:
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 // 0)
        return await asyncio.to_thread(lambda: 7)

    assert run(main(), seed=0) == 7


def test_a_deadlock_names_what_waits() -> None:
    async def stuck() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(stuck(), name="the stuck one")

    with pytest.raises(DeadlockError, match="the stuck one waits in"):
        run(main(), seed=0)


def test_a_stopped_host_does_nothing_until_it_goes_on() -> None:
    seen: list[float] = []

    async def work() -> None:
        for _ in range(3):
            await asyncio.to_thread(VirtualLoop.park)
            await after(1, "", [])
            seen.append(asyncio.get_running_loop().time())

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        host = Host("worker")
        context = contextvars.copy_context()
        context.run(HOST.set, host)
        async with asyncio.TaskGroup() as group:
            group.create_task(work(), context=context)
            await after(1.5, "", [])
            loop.stop_host(host)
            before = list(seen)
            await after(HOUR_S, "", [])
            assert seen == before
            loop.go_on(host)
        assert len(seen) == 3

    run(main(), seed=0)
    assert seen[-1] > HOUR_S
