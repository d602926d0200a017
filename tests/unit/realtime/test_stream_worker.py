"""A worker whose bus is away while it takes its partitions over."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from streambackup.bus.port import Bounds, TopicPartition
from streambackup.errors import BusError
from streambackup.testing.events import TIME_MS, put
from streambackup.testing.memory_bus import MemoryBus
from tests.support.account_service import AccountService
from tests.support.manual_clock import ManualClock


class LeavingBus(MemoryBus):
    """Cannot tell bounds at the third to the eighth question: in the middle of a start."""

    asked = 0

    async def bounds(self, topics: Collection[str]) -> dict[TopicPartition, Bounds]:
        self.asked += 1
        if 3 <= self.asked <= 8:
            raise BusError("the brokers cannot be reached")
        return await super().bounds(topics)


async def test_a_bus_that_leaves_during_the_takeover_is_waited_for(tmp_path: Path) -> None:
    bus = LeavingBus(clock=ManualClock(TIME_MS))
    service = AccountService(tmp_path, partitions=4, bus=bus)
    await service.create()
    service.publish(*[put("m", 1, account=f"a{n}") for n in range(20)])

    def time_passes() -> bool:
        service.clock.advance(ms=1000)
        return bus.asked < 9

    assert await service.work(time_passes) is None
    assert sorted(service.reader().accounts()) == sorted(f"a{n}" for n in range(20))
