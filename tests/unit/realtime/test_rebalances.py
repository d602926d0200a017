"""Partitions that come and go while the loop is in the middle of something else."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from streambackup.bus.port import Consumer, Ownership, Record, TopicPartition
from streambackup.realtime.account_worker import SegmentSettings
from streambackup.testing.events import TIME_MS, put
from streambackup.testing.memory_bus import MemoryBus
from tests.support.account_service import AccountService
from tests.support.manual_clock import ManualClock

PARTITION = TopicPartition("mailbox.transactions", 0)
TRANSACTIONS = 12


class RestlessBus(MemoryBus):
    """Takes the partition away and gives it back, beside what the worker does, from each fetch of
    the numbers *at* on.
    """

    def __init__(self, at: Collection[int], beside: asyncio.TaskGroup) -> None:
        super().__init__(clock=ManualClock(TIME_MS))
        self.at = at
        self.beside = beside
        self.fetches = 0
        self.rebalances = 0

    async def consumer(
        self, topics: Collection[str], *, group: str | None, ownership: Ownership
    ) -> Any:
        inner = await super().consumer(topics, group=group, ownership=ownership)
        return _Consumer(self, inner, ownership)


class _Consumer:
    def __init__(self, bus: RestlessBus, inner: Consumer, ownership: Ownership) -> None:
        self._bus = bus
        self._inner = inner
        self._ownership = ownership
        self._calm = asyncio.Lock()
        self._closed = False

    async def fetch(self, **settings: Any) -> Mapping[TopicPartition, Sequence[Record]]:
        self._bus.fetches += 1
        if self._bus.fetches in self._bus.at:
            self._bus.beside.create_task(self._rebalance(), name="rebalance")
        return await self._inner.fetch(**settings)

    async def _rebalance(self) -> None:
        async with self._calm:
            if self._closed:
                return
            await self._ownership.revoked([PARTITION])
            positions = await self._ownership.assigned([PARTITION])
            for partition, position in positions.items():
                self._inner.seek(partition, position)
            self._inner.resume([PARTITION])
            self._bus.rebalances += 1

    async def close(self) -> None:
        async with self._calm:
            self._closed = True
            await self._inner.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@pytest.mark.parametrize("full_at_write", [None, 2, 5])
@pytest.mark.parametrize("at", [[1], [2], [3], [5], [2, 3, 4, 5, 6, 7, 8]])
async def test_nothing_is_lost_or_done_twice_whenever_a_partition_goes_and_comes_back(
    tmp_path: Path, at: list[int], full_at_write: int | None
) -> None:
    async with asyncio.TaskGroup() as beside:
        bus = RestlessBus(at, beside)
        service = AccountService(
            tmp_path / "store", bus=bus, segments=SegmentSettings(segment_bytes=100)
        )
        await service.create()
        service.publish(
            *(put("m", n, time_ms=TIME_MS + 1_000 * n, n=n) for n in range(1, TRANSACTIONS + 1))
        )
        service.disk.full_at_write = full_at_write

        def look() -> bool:
            service.clock.advance(ms=1_000)
            if bus.fetches > max(at):
                service.disk.make_space()
            return bus.fetches <= max(at) or bus.rebalances == 0

        assert await service.work(look) is None

    history = service.reader().history("anna")
    states = [state.state["n"] for state in history.items["m"].states]
    assert states == list(range(1, TRANSACTIONS + 1))
    assert history.doubts == ()


async def test_a_disk_that_is_full_when_a_partition_is_assigned_is_waited_for(
    tmp_path: Path,
) -> None:
    service = AccountService(tmp_path / "store")
    await service.create()
    service.publish(put("m", 1))
    assert await service.work() is None
    service.publish(put("m", 2))
    service.disk.count_anew()
    service.disk.full_at_sync = 1  # Of the files that the owner takes over.
    looks = 0

    def look() -> bool:
        nonlocal looks
        looks += 1
        service.clock.advance(ms=300)
        if looks == 10:
            service.disk.make_space()
        return looks < 10

    assert await service.work(look) is None
    assert await service.is_caught_up()
    assert [name.epoch.number for name in service.path().segments()] == [1, 2]
