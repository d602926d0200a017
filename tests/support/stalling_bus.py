"""A bus whose consumers stop moving, in one way or another."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Any

from streambackup.bus.port import Bus, Consumer, Fetched, Ownership, TopicPartition
from streambackup.errors import BusError


async def pass_time(seconds: float) -> None:
    """Let as much of the loop's time go by, which is virtual in most tests."""
    passed = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, passed.set)
    await passed.wait()


class Stall(StrEnum):
    HANGS = "hangs"
    FAILS = "fails"
    HANDS_NOTHING_OUT = "hands nothing out"
    IS_FORGOTTEN = "is forgotten by its group"


class StallingBus:
    """*inner*, whose first *broken* consumers stop after some fetches."""

    def __init__(self, inner: Bus, stall: Stall, *, broken: int, fetches: int = 3) -> None:
        self._inner = inner
        self._stall = stall
        self._broken = broken
        self._fetches = fetches
        self.consumers = 0

    async def consumer(
        self, topics: Collection[str], *, group: str, ownership: Ownership
    ) -> Consumer:
        consumer = await self._inner.consumer(topics, group=group, ownership=ownership)
        self.consumers += 1
        if self.consumers > self._broken:
            return consumer
        return _Stalling(consumer, self._stall, self._fetches)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class _Stalling:
    def __init__(self, inner: Consumer, stall: Stall, fetches: int) -> None:
        self._inner = inner
        self._stall = stall
        self._left = fetches
        self._since_s = asyncio.get_running_loop().time()

    @property
    def silence_s(self) -> float:
        forgotten = self._stall is Stall.IS_FORGOTTEN and self._left < 0
        return asyncio.get_running_loop().time() - self._since_s if forgotten else 0.0

    async def fetch(self, *, records_max: int, wait_ms: int) -> Fetched:
        self._left -= 1
        if self._left < 0:
            if self._stall is Stall.HANGS:
                await asyncio.Event().wait()
            if self._stall is Stall.FAILS:
                raise BusError("reading: Kafka failed (unexpected error during coordination)")
            await pass_time(wait_ms / 1000)
            return {}
        return await self._inner.fetch(records_max=records_max, wait_ms=wait_ms)

    async def acknowledge(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        await self._inner.acknowledge(next_offsets)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)
