"""A worker that cannot take its partitions over at once, or cannot let them go."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from streambackup.bus.port import Bounds, Outgoing, TopicPartition, TopicSpec
from streambackup.errors import BusError, StoreError
from streambackup.testing.events import TIME_MS, put
from streambackup.testing.memory_bus import MemoryBus
from tests.support.account_service import GROUP, AccountService, some_mail
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


class WatchedBus(MemoryBus):
    """Remembers from where it was read."""

    def __init__(self) -> None:
        super().__init__(clock=ManualClock(TIME_MS))
        self.read_from: list[int] = []
        self.looked_at = set[TopicPartition]()

    async def _look(self, wanted: Mapping[TopicPartition, int], records_max: int) -> Any:
        self.read_from += wanted.values()
        self.looked_at |= wanted.keys()
        return await super()._look(wanted, records_max)

    def is_left(self) -> bool:
        return not self._consumers


async def test_a_partition_that_waits_for_space_is_not_read(tmp_path: Path) -> None:
    """From its beginning, only to throw everything away."""
    bus = WatchedBus()
    service = AccountService(tmp_path / "store", bus=bus)
    await service.create()
    service.publish(*some_mail())
    assert await service.work() is None
    bus.read_from.clear()
    service.disk.count_anew()
    service.disk.full_at_sync = 1
    looks = 0

    def make_space_later() -> bool:
        nonlocal looks
        looks += 1
        service.clock.advance(ms=500)
        if looks == 20:
            service.disk.make_space()
        return looks < 30

    assert await service.work(make_space_later) is None
    assert set(bus.read_from) == {len(some_mail())}


async def test_partitions_beside_are_taken_and_not_read(tmp_path: Path) -> None:
    bus = WatchedBus()
    service = AccountService(tmp_path / "store", bus=bus)
    service.beside = ["mailbox.beside"]
    await service.create()
    await bus.create([TopicSpec(name="mailbox.beside", partitions=1, retention_ms=-1)])
    bus.publish([Outgoing("mailbox.beside", b"anna", b"a listing")])
    service.publish(put("m", 1))
    bus.looked_at.clear()
    assert await service.work() is None
    assert bus.looked_at == {service.partition()}
    assert set(await bus.acknowledged(GROUP)) == {service.partition()}


async def test_the_group_is_left_even_where_a_turn_cannot_be_ended(tmp_path: Path) -> None:
    """Else its successor waits for the partitions until the group gives it up."""
    bus = WatchedBus()
    service = AccountService(tmp_path / "store", bus=bus)
    await service.create()
    service.publish(*some_mail())
    service.filing_error = StoreError("the filing process died")
    error = await service.work()

    assert error is service.filing_error
    assert bus.is_left()
