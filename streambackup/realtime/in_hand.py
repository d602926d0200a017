"""What was read and what threads are making durable of it, and which of that takes long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, NamedTuple, TypeVar

K = TypeVar("K")
R = TypeVar("R")
T = TypeVar("T")

SLOW_DISK_S = 0.5
"""How long others wait for a partition's batch to be durable."""


class _Batch(NamedTuple, Generic[K, T]):
    keys: frozenset[K]
    work: asyncio.Future[list[T]]


class InHand(Generic[K, R, T]):
    """Records by key (a worker's turn at a partition), given to *take* in threads. Of a key there
    is one batch at most at work, and one more that waits for it.

    Either each key's batches are its own, and so many *threads* work beside each other, or what all
    keys have is one batch, and the next one waits for it.

    A thread cannot be stopped: what it has in hand stays known until it is done, whoever waits for
    it and gives up.
    """

    def __init__(
        self,
        take: Callable[[Sequence[tuple[K, Sequence[R]]]], list[T]],
        *,
        apart: bool,
        threads: int,
    ) -> None:
        self._take = take
        self._apart = apart
        self._threads = threads if apart else 1
        self._patience_s = SLOW_DISK_S if apart else None
        self._executor = ThreadPoolExecutor(self._threads)
        self._read: dict[K, list[R]] = {}
        self._batches: list[_Batch[K, T]] = []
        self._slow = frozenset[K]()

    @property
    def keys(self) -> frozenset[K]:
        """Of the batches that threads work on, or are done with and nobody looked at since."""
        return frozenset[K]().union(*(batch.keys for batch in self._batches))

    @property
    def is_empty(self) -> bool:
        """Whether nothing was read that is not durable and looked at."""
        return not self._batches and not self._read

    @property
    def at_work(self) -> frozenset[K]:
        """Of the batches that threads are not done with."""
        works = (batch for batch in self._batches if not batch.work.done())
        return frozenset[K]().union(*(batch.keys for batch in works))

    def idle(self, keys: Iterable[K]) -> list[K]:
        """Those of *keys* of which nothing is in hand. None where all threads have something: more
        would only wait behind that.
        """
        if len(self._batches) >= self._threads:
            return []
        busy = self.keys
        return [key for key in keys if key not in busy]

    def add(self, key: K, records: Sequence[R]) -> None:
        self._read.setdefault(key, []).extend(records)

    def begin(self, current: Collection[K]) -> None:
        """Give to threads what was read, but for keys that they are busy with. What was read of
        keys that are not *current* any more is dropped.
        """
        busy = self.keys
        read = [(key, self._read.pop(key)) for key in list(self._read) if key not in busy]
        ready = [(key, records) for key, records in read if key in current]
        loop = asyncio.get_running_loop()
        for batch in [[one] for one in ready] if self._apart else [ready]:
            if batch:
                work = loop.run_in_executor(self._executor, self._take, batch)
                self._batches.append(_Batch(frozenset(key for key, _ in batch), work))

    async def wait(self, keys: Collection[K]) -> None:
        """Wait until threads are done with what they have of *keys*."""
        await self._wait(frozenset(keys), None)

    async def wait_a_while(self) -> None:
        """Wait for the disk, but for no longer than others may: what takes longer is not waited
        for again.
        """
        await self._wait(self.keys - self._slow, self._patience_s)
        self._slow = self.at_work

    async def _wait(self, keys: frozenset[K], limit_s: float | None) -> None:
        works = [batch.work for batch in self._batches if batch.keys & keys]
        if works:
            done, _ = await asyncio.wait(works, timeout=limit_s)
            for work in done:
                work.exception()  # ``finished`` raises it, and nobody may ask for that.

    def finished(self) -> Sequence[T]:
        """What *take* returned for batches that it is done with.

        Raises what it raised.
        """
        done = [batch for batch in self._batches if batch.work.done()]
        self._batches = [batch for batch in self._batches if not batch.work.done()]
        return [outcome for batch in done for outcome in batch.work.result()]

    def forget(self) -> None:
        """Drop what was read and not begun."""
        self._read.clear()

    def close(self) -> None:
        """Let idle threads end."""
        self._executor.shutdown(wait=False)
