"""Groups in memory keep the contract of groups, and do what Kafka does to members that are away."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator

import pytest

from streambackup.bus.port import Consumer, Outgoing, Record, TopicPartition, TopicSpec
from streambackup.bus.topics import LOCAL_RECORD_BYTES_MAX
from streambackup.errors import BusError
from streambackup.runtime.clock import SystemClock
from streambackup.testing.group_bus import GroupBus
from streambackup.testing.memory_bus import MemoryBus
from streambackup.testing.memory_groups import Groups, GroupTimes, range_assignment
from streambackup.testing.virtual_loop import HOST, Host, VirtualLoop, run
from tests.contract.bus_contract import BusContract
from tests.contract.bus_group_contract import BusGroupContract
from tests.contract.bus_rig import Owner, Rig

QUICK = GroupTimes(heartbeat_s=0.01, session_s=30, rebalance_s=30)


class GroupRig(Rig):
    record_bytes_max = LOCAL_RECORD_BYTES_MAX

    def __init__(self, beside: asyncio.TaskGroup) -> None:
        self.memory = self.bus = GroupBus(MemoryBus(clock=SystemClock()), Groups(QUICK), beside)

    async def reopen(self) -> None:
        """Nothing in memory outlives its process, so there is nothing to reopen."""

    async def trim(self, partition: TopicPartition, begin: int) -> None:
        self.memory.trim(partition, begin)


@pytest.fixture
async def rig() -> AsyncIterator[GroupRig]:
    async with asyncio.TaskGroup() as beside:
        yield GroupRig(beside)


class TestGroupBus(BusContract, BusGroupContract):
    pass


@pytest.mark.parametrize(
    ("members", "shares"),
    [(1, [[0, 1, 2, 3, 4]]), (2, [[0, 1, 2], [3, 4]]), (6, [[0], [1], [2], [3], [4], []])],
)
def test_neighbouring_partitions_go_to_one_member(members: int, shares: list[list[int]]) -> None:
    topics = ("one", "other")
    wanted = [TopicPartition(topic, number) for topic in topics for number in range(5)]
    assigned = range_assignment({f"m{number}": wanted for number in range(members)})
    for topic in topics:
        found = [[tp.partition for tp in taken if tp.topic == topic] for taken in assigned.values()]
        assert found == shares


class Away(Host):
    """A process with a member that can be stopped."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.owner = Owner()
        self.context = contextvars.copy_context()
        self.context.run(HOST.set, self)


async def fetch_for(consumer: Consumer, seconds: int) -> list[Record]:
    found: list[Record] = []
    for _ in range(seconds):
        for records in (await consumer.fetch(records_max=10, wait_ms=1_000)).values():
            found += records
    return found


def test_a_member_that_is_away_believes_in_its_partitions_until_it_speaks() -> None:
    """Stopped for longer than the session lasts, it reads on what another owns by then; what it
    acknowledges is refused, and it joins again by itself.
    """

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        broker = MemoryBus(clock=SystemClock())
        await broker.create([TopicSpec(name="t", partitions=1, retention_ms=-1)])
        groups, tp = Groups(), TopicPartition("t", 0)
        one, other = Away("one"), Away("other")

        async def join(process: Away) -> Consumer:
            bus = GroupBus(broker, groups, beside)
            return await bus.consumer(["t"], group="g", ownership=process.owner)

        async with asyncio.TaskGroup() as beside:
            zombie = await beside.create_task(join(one), context=one.context)
            broker.publish([Outgoing("t", b"k", b"1", 0)])
            assert len(await fetch_for(zombie, 1)) == 1
            loop.stop_host(one)
            heir = await beside.create_task(join(other), context=other.context)
            assert len(await fetch_for(heir, 10)) == 1
            assert one.owner.held == other.owner.held == {tp}
            broker.publish([Outgoing("t", b"k", b"2", 0)])
            assert len(await fetch_for(zombie, 1)) == 1
            with pytest.raises(BusError, match="went on without"):
                await zombie.acknowledge({tp: 2})
            await heir.acknowledge({tp: 1})
            loop.go_on(one)
            await asyncio.gather(fetch_for(zombie, 3), fetch_for(heir, 3))
            assert groups.members("g") == 2
            assert sorted([one.owner.held, other.owner.held]) == [set(), {tp}]
            assert await broker.acknowledged("g") == {tp: 1}
            await zombie.close()
            await heir.close()

    run(main(), seed=1)
