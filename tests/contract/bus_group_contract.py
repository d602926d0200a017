"""What a bus promises whose groups have several members."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from uuid import uuid4

import pytest

from streambackup.bus.port import Consumer, Record, TopicPartition
from streambackup.errors import BusError
from tests.contract.bus_rig import LONG_MS, Owner, RefusedError, Rig, fetch_until, numbered, values


class Moody(Owner):
    """Objects to whatever comes once it was told to."""

    def __init__(self) -> None:
        super().__init__()
        self.refuses_assigned = False
        self.refuses_revoked = False

    async def assigned(
        self, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        if self.refuses_assigned:
            raise RefusedError
        return await super().assigned(partitions)

    async def revoked(self, partitions: Collection[TopicPartition]) -> None:
        if self.refuses_revoked:
            raise RefusedError
        await super().revoked(partitions)


class Member:
    """A consumer of a group with its owner."""

    def __init__(self, owner: Owner, consumer: Consumer) -> None:
        self.owner = owner
        self.consumer = consumer
        self.records: dict[TopicPartition, list[Record]] = {}

    @property
    def held(self) -> set[TopicPartition]:
        return self.owner.held

    async def look(self) -> None:
        fetched = await self.consumer.fetch(records_max=100, wait_ms=50)
        for tp, records in fetched.items():
            self.records.setdefault(TopicPartition(*tp), []).extend(records)


async def member(
    rig: Rig, topics: Collection[str], group: str, owner: Owner | None = None
) -> Member:
    owner = owner or Owner()
    return Member(owner, await rig.bus.consumer(topics, group=group, ownership=owner))


async def look_until(holds: Callable[[], bool], *members: Member) -> None:
    """All *members* fetch until it is so."""
    async with asyncio.timeout(LONG_MS / 1000):
        while not holds():
            await asyncio.gather(*[member.look() for member in members])


def partitions_of(topic: str, count: int = 4) -> set[TopicPartition]:
    return {TopicPartition(topic, number) for number in range(count)}


class BusGroupContract:
    async def test_two_members_share_the_partitions(self, rig: Rig) -> None:
        topic, group = await rig.topic(), f"test-{uuid4().hex}"
        first = await member(rig, [topic], group)
        assert first.held == partitions_of(topic)
        second = await member(rig, [topic], group)
        await look_until(lambda: len(first.held) == 2, first, second)
        assert len(second.held) == 2
        assert first.held | second.held == partitions_of(topic)
        assert [sorted(partitions_of(topic))] == first.owner.revocations

        for number in range(4):
            await rig.publish(*numbered(topic, range(5), partition=number))
        await look_until(lambda: sum(map(len, (first.records, second.records))) == 4, first, second)
        assert set(first.records) == first.held
        assert set(second.records) == second.held
        await first.consumer.close()
        await second.consumer.close()

    async def test_who_is_left_takes_over_where_its_owner_says(self, rig: Rig) -> None:
        """Not where the group was by what it told the bus."""
        topic, group = await rig.topic(partitions=2), f"test-{uuid4().hex}"
        for number in range(2):
            await rig.publish(*numbered(topic, range(8), partition=number))
        owner = Owner(dict.fromkeys(partitions_of(topic, 2), 3))
        staying = await member(rig, [topic], group, owner)
        leaving = await member(rig, [topic], group)
        await look_until(lambda: len(staying.held) == 1, staying, leaving)
        (taken,) = leaving.held
        await look_until(lambda: taken in leaving.records, leaving)
        await leaving.consumer.acknowledge({taken: 7})
        await leaving.consumer.close()
        await look_until(lambda: taken in staying.records, staying)
        assert staying.held == partitions_of(topic, 2)
        assert values(staying.records[taken]) == [b"3", b"4", b"5", b"6", b"7"]
        await staying.consumer.close()

    async def test_partitions_of_one_number_are_one_members(self, rig: Rig) -> None:
        topics = [await rig.topic(partitions=5) for _ in range(2)]
        group = f"test-{uuid4().hex}"
        members = [await member(rig, topics, group) for _ in range(3)]
        every = partitions_of(topics[0], 5) | partitions_of(topics[1], 5)
        await look_until(lambda: sum(len(one.held) for one in members) == 10, *members)
        assert set[TopicPartition]().union(*[one.held for one in members]) == every
        for one in members:
            numbers = [{tp.partition for tp in one.held if tp.topic == topic} for topic in topics]
            assert numbers[0] == numbers[1]
            await one.consumer.close()

    async def test_a_member_that_gets_nothing_waits_for_its_turn(self, rig: Rig) -> None:
        topic, group = await rig.topic(partitions=1), f"test-{uuid4().hex}"
        one, other = [await member(rig, [topic], group) for _ in range(2)]
        await look_until(lambda: len(one.held | other.held) == 1, one, other)
        working, waiting = (one, other) if one.held else (other, one)
        assert await waiting.consumer.fetch(records_max=1, wait_ms=0) == {}
        await working.consumer.close()
        await rig.publish(*numbered(topic, range(3)))
        found = await fetch_until(waiting.consumer, 3)
        assert values(found[TopicPartition(topic, 0)]) == [b"0", b"1", b"2"]
        await waiting.consumer.close()

    async def test_a_partition_without_a_position_is_silent_until_seek(self, rig: Rig) -> None:
        topic, group = await rig.topic(partitions=2), f"test-{uuid4().hex}"
        silent, other = sorted(partitions_of(topic, 2))
        for number in range(2):
            await rig.publish(*numbered(topic, range(3), partition=number))
        one = await member(rig, [topic], group, _Choosy(other))
        await look_until(lambda: other in one.records, one)
        one.consumer.pause([silent])
        one.consumer.resume([silent])
        await one.look()
        assert set(one.records) == {other}
        one.consumer.seek(silent, 1)
        await look_until(lambda: silent in one.records, one)
        assert values(one.records[silent]) == [b"1", b"2"]
        await one.consumer.close()

    async def test_what_a_member_lost_it_cannot_change(self, rig: Rig) -> None:
        topic, group = await rig.topic(partitions=2), f"test-{uuid4().hex}"
        one = await member(rig, [topic], group)
        other = await member(rig, [topic], group)
        await look_until(lambda: len(one.held) == 1, one, other)
        (gone,) = other.held
        one.consumer.pause([gone])
        one.consumer.seek(gone, 1)
        one.consumer.resume([gone])
        with pytest.raises(BusError, match="to another worker"):
            await one.consumer.acknowledge({gone: 1})
        await rig.publish(*numbered(topic, range(2), partition=gone.partition))
        await look_until(lambda: gone in other.records, one, other)
        assert one.records == {}
        await one.consumer.close()
        await other.consumer.close()

    @pytest.mark.parametrize("refused", ["assigned", "revoked"])
    async def test_what_an_owner_objects_to_in_a_rebalance_ends_its_consumer(
        self, rig: Rig, refused: str
    ) -> None:
        topic, group = await rig.topic(), f"test-{uuid4().hex}"
        moody = Moody()
        one = await member(rig, [topic], group, moody)
        moody.refuses_assigned = refused == "assigned"
        moody.refuses_revoked = refused == "revoked"
        other = await member(rig, [topic], group)
        for _ in range(2):
            with pytest.raises(RefusedError):
                await look_until(lambda: False, one)
        await one.consumer.close()
        await look_until(lambda: other.held == partitions_of(topic), other)
        await other.consumer.close()


class _Choosy(Owner):
    """Has a position for one partition only."""

    def __init__(self, chosen: TopicPartition) -> None:
        super().__init__()
        self._chosen = chosen

    async def assigned(
        self, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        positions = await super().assigned(partitions)
        return {tp: offset for tp, offset in positions.items() if tp == self._chosen}
