"""Blocking iterators in coroutines, without holding up the end of the process."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import CancelledError
from typing import TypeVar

T = TypeVar("T")


class _End:
    """What the thread puts last: the error that ended it, if one did."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


async def iterate_in_thread(blocking: Iterator[T]) -> AsyncIterator[T]:
    """What *blocking* gives, drawn in a thread of its own, one ahead.

    The thread is a daemon: where it waits for input that never comes (a terminal, a pipe), the
    process ends all the same. An executor's thread would be waited for.
    """
    loop = asyncio.get_running_loop()
    drawn: asyncio.Queue[T | _End] = asyncio.Queue(maxsize=1)

    def put(item: T | _End) -> None:
        asyncio.run_coroutine_threadsafe(drawn.put(item), loop).result()

    def draw() -> None:
        error: BaseException | None = None
        try:
            for item in blocking:
                put(item)
        except Exception as raised:
            error = raised
        if not loop.is_closed():
            with contextlib.suppress(CancelledError):  # Nobody waits for the end any more.
                put(_End(error))

    threading.Thread(target=draw, daemon=True).start()
    while True:
        item = await drawn.get()
        if isinstance(item, _End):
            if item.error is not None:
                raise item.error
            return
        yield item
