"""Turns that are lost while something of theirs is under way."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from streambackup.bus.port import Consumer, Ownership, Record, TopicPartition
from streambackup.errors import PositionLostError
from streambackup.testing.events import TIME_MS, put
from streambackup.testing.memory_bus import MemoryBus
from tests.support.account_service import AccountService, KilledError, some_mail
from tests.support.manual_clock import ManualClock


class RebalancingBus(MemoryBus):
    """Takes partition 0 away in the fetch of number *lose_at*, for good."""

    def __init__(self, lose_at: int) -> None:
        super().__init__(clock=ManualClock(TIME_MS))
        self.lose_at = lose_at
        self.calls: list[str] = []
        self.fetches = 0

    async def consumer(
        self, topics: Collection[str], *, group: str | None, ownership: Ownership
    ) -> Any:
        inner = await super().consumer(topics, group=group, ownership=ownership)
        return _Consumer(self, inner, ownership)


class _Consumer:
    def __init__(self, bus: RebalancingBus, inner: Consumer, ownership: Ownership) -> None:
        self._bus = bus
        self._inner = inner
        self._ownership = ownership

    async def fetch(self, **settings: Any) -> Mapping[TopicPartition, Sequence[Record]]:
        self._bus.fetches += 1
        if self._bus.fetches == self._bus.lose_at:
            await self._ownership.revoked([TopicPartition("mailbox.transactions", 0)])
        if self._bus.fetches >= self._bus.lose_at:
            return {}
        return await self._inner.fetch(**settings)

    def __getattr__(self, name: str) -> Any:
        if self._bus.fetches >= self._bus.lose_at:
            self._bus.calls.append(name)
        return getattr(self._inner, name)


@pytest.mark.parametrize("lose_at", [2, 3, 5])
async def test_a_partition_lost_while_the_disk_is_full_is_not_taken_again(
    tmp_path: Path, lose_at: int
) -> None:
    """In the middle of its append, before that was looked at, and while it waits for space."""
    bus = RebalancingBus(lose_at)
    service = AccountService(tmp_path / "store", bus=bus)
    await service.create()
    service.publish(*some_mail())
    service.disk.full_at_write = 1

    def look() -> bool:
        service.clock.advance(ms=300)
        if bus.fetches > lose_at:
            service.disk.make_space()
        if bus.fetches > lose_at + 10:
            raise KilledError
        return True

    assert await service.work(look) is None
    assert {"seek", "resume", "acknowledge"}.isdisjoint(bus.calls)
    assert service.path().segments() == []


async def test_a_turn_lost_with_its_append_under_way_keeps_what_it_appended(
    tmp_path: Path,
) -> None:
    bus = RebalancingBus(lose_at=2)
    service = AccountService(tmp_path / "store", bus=bus)
    await service.create()
    service.publish(*some_mail())

    def look() -> bool:
        if bus.fetches > 5:
            raise KilledError
        return True

    assert await service.work(look) is None
    bus.lose_at = 10**9
    assert await service.work() is None

    assert [name.epoch.number for name in service.path().segments()] == [1, 2]
    assert [name.first for name in service.path().segments()] == [0, 3]


class ForgetfulBus(MemoryBus):
    """Says once that a position is not there, although it is, with a batch under way."""

    told = False

    async def _look(self, wanted: Mapping[TopicPartition, int], records_max: int) -> Any:
        if not self.told and any(wanted.values()):
            self.told = True
            (tp,) = wanted
            raise PositionLostError(*tp, wanted[tp], begin=0, end=0)
        return await super()._look(wanted, records_max)


async def test_a_position_that_is_there_after_all_is_read_on_from(tmp_path: Path) -> None:
    bus = ForgetfulBus(clock=ManualClock(TIME_MS))
    service = AccountService(tmp_path / "store", bus=bus)
    await service.create()
    service.publish(*(put("m", n, time_ms=TIME_MS + 1_000 * n, n=n) for n in range(1, 9)))

    assert await service.work() is None
    assert bus.told
    history = service.reader().history("anna")
    assert [state.state["n"] for state in history.items["m"].states] == list(range(1, 9))
    assert history.doubts == ()
