"""What every bus promises. A subclass gives the fixture ``rig``: a bus and what tests do to it."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from uuid import uuid4

import pytest

from streambackup.bus.port import (
    Bounds,
    Bus,
    Consumer,
    Outgoing,
    Placed,
    Record,
    TopicPartition,
    TopicSpec,
    partition_of,
)
from streambackup.errors import BusError, PositionLostError, TopicError

LONG_MS = 30_000  # a wait that only a failing test sees the end of
KEEP_MS = 14 * 24 * 3600 * 1000


class Rig(ABC):
    """One bus under test."""

    record_bytes_max: int

    bus: Bus

    @abstractmethod
    async def reopen(self) -> None:
        """Close the bus and open it again, as a restarted process does."""

    @abstractmethod
    async def trim(self, partition: TopicPartition, begin: int) -> None:
        """Drop the records before *begin*, as retention does."""

    async def topic(self, *, partitions: int = 4, compacted: bool = False) -> str:
        """A new topic that no other test knows."""
        name = f"test.{uuid4().hex}"
        await self.bus.create([spec(name, partitions=partitions, compacted=compacted)])
        return name

    async def publish(self, *records: Outgoing) -> list[Placed]:
        producer = await self.bus.producer()
        try:
            return await producer.publish(records)
        finally:
            await producer.close()

    async def consumer(
        self, topic: str, *, group: str = "", owner: Owner | None = None
    ) -> Consumer:
        return await self.bus.consumer(
            [topic], group=group or f"test-{uuid4().hex}", ownership=owner or Owner()
        )


class Owner:
    """Takes everything, from the beginning unless told otherwise."""

    def __init__(self, positions: Mapping[TopicPartition, int] | None = None) -> None:
        self.owned: list[TopicPartition] = []
        self.revocations: list[list[TopicPartition]] = []
        self._positions = positions or {}

    async def assigned(
        self, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        self.owned += partitions
        return {tp: self._positions.get(tp, 0) for tp in partitions}

    async def revoked(self, partitions: Collection[TopicPartition]) -> None:
        self.revocations.append(sorted(partitions))


class RefusedError(Exception):
    pass


class RefusingOwner(Owner):
    async def assigned(
        self, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        raise RefusedError


def spec(name: str, *, partitions: int = 4, compacted: bool = False) -> TopicSpec:
    return TopicSpec(name=name, partitions=partitions, retention_ms=KEEP_MS, compacted=compacted)


def numbered(topic: str, numbers: range, *, partition: int = 0) -> list[Outgoing]:
    return [Outgoing(topic, b"key", b"%d" % number, partition) for number in numbers]


async def fetch_until(
    consumer: Consumer, count: int, *, records_max: int = 1000
) -> dict[TopicPartition, list[Record]]:
    """The next *count* records, by partition."""
    found: dict[TopicPartition, list[Record]] = {}
    async with asyncio.timeout(LONG_MS / 1000):
        while sum(len(records) for records in found.values()) < count:
            fetched = await consumer.fetch(records_max=records_max, wait_ms=1000)
            for tp, records in fetched.items():
                found.setdefault(TopicPartition(*tp), []).extend(records)
    return found


def values(records: Sequence[Record]) -> list[bytes | None]:
    return [record.value for record in records]


async def lost_position(consumer: Consumer) -> PositionLostError:
    """The error of the first fetch that raises it, and nothing handed out before."""
    with pytest.raises(PositionLostError) as caught:
        await fetch_until(consumer, 1)
    return caught.value


class BusContract:
    async def test_places_tell_where_records_stand(self, rig: Rig) -> None:
        first, second = await rig.topic(), await rig.topic()
        places = await rig.publish(
            Outgoing(first, b"a", b"1", 2),
            Outgoing(second, b"b", b"2", 0),
            Outgoing(first, b"c", b"3", 3),
            Outgoing(first, b"d", b"4", 2),
        )
        assert places == [(2, 0), (0, 0), (3, 0), (2, 1)]
        assert await rig.publish(Outgoing(first, b"e", b"5", 2)) == [(2, 2)]
        (record,) = await rig.bus.read(TopicPartition(first, 2), 1, records_max=1)
        assert (record.offset, record.key, record.value) == (1, b"d", b"4")

    async def test_a_key_decides_the_partition_as_everywhere_on_kafka(self, rig: Rig) -> None:
        topic = await rig.topic(partitions=7)
        keys = [f"account-{number}".encode() for number in range(50)]
        places = await rig.publish(*[Outgoing(topic, key, b"") for key in keys])
        assert [partition_of(key, 7) for key in keys] == [place.partition for place in places]

    async def test_an_empty_batch_is_published_at_once(self, rig: Rig) -> None:
        assert await rig.publish() == []

    async def test_records_keep_their_order_and_offsets_in_a_partition(self, rig: Rig) -> None:
        topic = await rig.topic(partitions=2)
        for start in range(0, 60, 20):
            both = zip(
                numbered(topic, range(start, start + 20)),
                numbered(topic, range(start, start + 20), partition=1),
                strict=True,
            )
            await rig.publish(*[record for pair in both for record in pair])
        consumer = await rig.consumer(topic)
        found = await fetch_until(consumer, 120, records_max=7)
        await consumer.close()
        for partition in (0, 1):
            records = found[TopicPartition(topic, partition)]
            assert list(range(60)) == [record.offset for record in records]
            assert [b"%d" % number for number in range(60)] == values(records)

    async def test_one_fetch_hands_out_no_more_records_than_asked_for(self, rig: Rig) -> None:
        topic = await rig.topic(partitions=3)
        records = [numbered(topic, range(20), partition=partition) for partition in range(3)]
        await rig.publish(*[record for of_partition in records for record in of_partition])
        consumer = await rig.consumer(topic)
        sizes: list[int] = []
        while sum(sizes) < 60:
            fetched = await consumer.fetch(records_max=9, wait_ms=1000)
            sizes.append(sum(len(records) for records in fetched.values()))
        await consumer.close()
        assert max(sizes) <= 9

    async def test_keys_and_values_come_back_as_they_were(self, rig: Rig) -> None:
        topic = await rig.topic(partitions=1)
        pairs = [
            (b"k", b"v"),
            (b"\0\xff", b""),
            (b"", b"x" * 500_000),
            (b"gone", None),
            (None, b"v"),
        ]
        await rig.publish(*[Outgoing(topic, key, value, 0) for key, value in pairs])
        records = await rig.bus.read(TopicPartition(topic, 0), 0, records_max=10)
        assert pairs == [(record.key, record.value) for record in records]
        assert all(record.timestamp > 0 for record in records)

    async def test_reading_starts_where_the_owner_says(self, rig: Rig) -> None:
        topic = await rig.topic(partitions=2)
        await rig.publish(*numbered(topic, range(10)), *numbered(topic, range(10), partition=1))
        owner = Owner({TopicPartition(topic, 0): 4, TopicPartition(topic, 1): 10})
        consumer = await rig.consumer(topic, owner=owner)
        found = await fetch_until(consumer, 6)
        await consumer.close()
        assert [TopicPartition(topic, 0), TopicPartition(topic, 1)] == sorted(owner.owned)
        assert [TopicPartition(topic, 0)] == list(found)
        assert values(found[TopicPartition(topic, 0)]) == [b"4", b"5", b"6", b"7", b"8", b"9"]

    async def test_what_the_owner_objects_to_ends_the_consumer(self, rig: Rig) -> None:
        consumer = await rig.consumer(await rig.topic(), owner=RefusingOwner())
        for _ in range(2):
            with pytest.raises(RefusedError):
                await consumer.fetch(records_max=1, wait_ms=0)
        await consumer.close()

    async def test_seek_reads_on_from_there_and_again_from_the_start(self, rig: Rig) -> None:
        topic = await rig.topic(partitions=1)
        partition = TopicPartition(topic, 0)
        await rig.publish(*numbered(topic, range(10)))
        consumer = await rig.consumer(topic)
        await fetch_until(consumer, 3, records_max=3)
        consumer.seek(partition, 8)
        assert values((await fetch_until(consumer, 2))[partition]) == [b"8", b"9"]
        consumer.seek(partition, 0)
        assert len((await fetch_until(consumer, 10))[partition]) == 10
        await consumer.close()

    async def test_a_fetch_without_news_comes_back_empty(self, rig: Rig) -> None:
        consumer = await rig.consumer(await rig.topic())
        assert await consumer.fetch(records_max=10, wait_ms=0) == {}
        assert await consumer.fetch(records_max=10, wait_ms=20) == {}
        await consumer.close()

    async def test_a_waiting_fetch_gets_what_is_published_meanwhile(self, rig: Rig) -> None:
        topic = await rig.topic(partitions=1)
        consumer = await rig.consumer(topic)
        fetching, _ = await asyncio.gather(
            consumer.fetch(records_max=10, wait_ms=LONG_MS), rig.publish(*numbered(topic, range(1)))
        )
        await consumer.close()
        assert values(fetching[TopicPartition(topic, 0)]) == [b"0"]

    async def test_paused_partitions_are_silent_until_resumed(self, rig: Rig) -> None:
        topic = await rig.topic(partitions=2)
        still, other = TopicPartition(topic, 0), TopicPartition(topic, 1)
        consumer = await rig.consumer(topic)
        consumer.pause([still])
        await rig.publish(*numbered(topic, range(5)), *numbered(topic, range(5), partition=1))
        assert [other] == list(await fetch_until(consumer, 5))
        assert await consumer.fetch(records_max=10, wait_ms=50) == {}
        consumer.resume([still])
        assert len((await fetch_until(consumer, 5))[still]) == 5
        await consumer.close()

    async def test_bounds_grow_at_the_end_and_shrink_at_the_beginning(self, rig: Rig) -> None:
        topic = await rig.topic(partitions=2)
        grown, untouched = TopicPartition(topic, 0), TopicPartition(topic, 1)
        for number in range(5):
            await rig.publish(*numbered(topic, range(number, number + 1)))
        assert {grown: (0, 5), untouched: (0, 0)} == await rig.bus.bounds([topic])
        await rig.trim(grown, 3)
        assert {grown: Bounds(3, 5), untouched: Bounds(0, 0)} == await rig.bus.bounds([topic])

    @pytest.mark.parametrize("offset", [1, 99])
    async def test_a_lost_position_is_told_once_and_the_others_go_on(
        self, rig: Rig, offset: int
    ) -> None:
        topic = await rig.topic(partitions=2)
        lost, other = TopicPartition(topic, 0), TopicPartition(topic, 1)
        for number in range(5):
            await rig.publish(*numbered(topic, range(number, number + 1)))
        await rig.trim(lost, 3)
        consumer = await rig.consumer(topic, owner=Owner({lost: offset}))
        error = await lost_position(consumer)
        assert (*lost, offset, 3, 5) == (
            *(error.topic, error.partition, error.offset),
            *(error.begin, error.end),
        )
        await rig.publish(*numbered(topic, range(2), partition=1))
        assert [other] == list(await fetch_until(consumer, 2))
        assert await consumer.fetch(records_max=10, wait_ms=50) == {}
        consumer.seek(lost, 3)
        assert values((await fetch_until(consumer, 2))[lost]) == [b"3", b"4"]
        await consumer.close()

    async def test_a_lost_position_stays_paused_when_its_owner_paused_it(self, rig: Rig) -> None:
        topic = await rig.topic(partitions=1)
        partition = TopicPartition(topic, 0)
        await rig.publish(*numbered(topic, range(2)))
        consumer = await rig.consumer(topic, owner=Owner({partition: 7}))
        await lost_position(consumer)
        consumer.pause([partition])
        consumer.seek(partition, 0)
        assert await consumer.fetch(records_max=10, wait_ms=50) == {}
        consumer.resume([partition])
        assert len((await fetch_until(consumer, 2))[partition]) == 2
        await consumer.close()

    async def test_read_serves_any_stretch_and_fewer_only_at_the_end(self, rig: Rig) -> None:
        topic = await rig.topic(partitions=1)
        partition = TopicPartition(topic, 0)
        for start in range(0, 30, 10):
            await rig.publish(*numbered(topic, range(start, start + 10)))
        for offset, count in [(0, 30), (5, 1), (9, 2), (29, 1), (12, 18)]:
            records = await rig.bus.read(partition, offset, records_max=count)
            assert list(range(offset, offset + count)) == [record.offset for record in records]
        assert len(await rig.bus.read(partition, 27, records_max=10)) == 3
        assert len(await rig.bus.read(partition, 30, records_max=10)) == 0

    async def test_read_brings_more_bytes_than_one_fetch(self, rig: Rig) -> None:
        topic = await rig.topic(partitions=1)
        for _ in range(10):
            await rig.publish(*[Outgoing(topic, b"k", b"x" * 900_000, 0)] * 4)
        records = await rig.bus.read(TopicPartition(topic, 0), 0, records_max=40)
        assert list(range(40)) == [record.offset for record in records]

    @pytest.mark.parametrize("offset", [2, 6])
    async def test_read_refuses_a_lost_position(self, rig: Rig, offset: int) -> None:
        topic = await rig.topic(partitions=1)
        for number in range(5):
            await rig.publish(*numbered(topic, range(number, number + 1)))
        await rig.trim(TopicPartition(topic, 0), 3)
        with pytest.raises(PositionLostError, match="offsets 3 to 5"):
            await rig.bus.read(TopicPartition(topic, 0), offset, records_max=1)

    async def test_acknowledged_is_what_the_group_said_last(self, rig: Rig) -> None:
        topic = await rig.topic(partitions=3)
        zero, two = TopicPartition(topic, 0), TopicPartition(topic, 2)
        group = f"test-{uuid4().hex}"
        assert await rig.bus.acknowledged(group) == {}
        consumer = await rig.consumer(topic, group=group)
        await consumer.acknowledge({zero: 3, two: 5})
        await consumer.acknowledge({zero: 4})
        await consumer.close()
        assert {zero: 4, two: 5} == await rig.bus.acknowledged(group)

    async def test_what_was_acknowledged_moves_no_reader(self, rig: Rig) -> None:
        topic = await rig.topic(partitions=1)
        await rig.publish(*numbered(topic, range(5)))
        group = f"test-{uuid4().hex}"
        for _ in range(2):
            consumer = await rig.consumer(topic, group=group)
            assert len((await fetch_until(consumer, 5))[TopicPartition(topic, 0)]) == 5
            await consumer.acknowledge({TopicPartition(topic, 0): 5})
            await consumer.close()

    async def test_latest_is_the_newest_value_per_key_without_tombstones(self, rig: Rig) -> None:
        topic = await rig.topic(partitions=1, compacted=True)
        assert await rig.bus.latest(topic) == {}
        changes: list[tuple[bytes, bytes | None]] = [(b"a", b"1"), (b"b", b"1"), (b"a", b"2")]
        changes += [(b"b", None), (b"c", b"1"), (b"c", b""), (b"d", None), (b"d", b"1")]
        await rig.publish(*[Outgoing(topic, key, value) for key, value in changes[:3]])
        for key, value in changes[3:]:
            await rig.publish(Outgoing(topic, key, value))
        assert await rig.bus.latest(topic) == {b"a": b"2", b"c": b"", b"d": b"1"}

    async def test_a_follower_of_a_compacted_topic_sees_its_last_states(self, rig: Rig) -> None:
        topic = await rig.topic(partitions=1, compacted=True)
        consumer = await rig.consumer(topic)
        changes = [(b"a", b"1"), (b"b", b"1"), (b"a", b"2"), (b"b", None)]
        await rig.publish(*[Outgoing(topic, key, value) for key, value in changes])
        seen: dict[bytes | None, bytes | None] = {}
        while seen != {b"a": b"2", b"b": None}:
            for records in (await consumer.fetch(records_max=1, wait_ms=LONG_MS)).values():
                seen |= {record.key: record.value for record in records}
        await consumer.close()
        assert {TopicPartition(topic, 0): Bounds(0, 4)} == await rig.bus.bounds([topic])

    async def test_a_record_too_large_is_refused_and_none_of_its_batch_published(
        self, rig: Rig
    ) -> None:
        topic = await rig.topic(partitions=1)
        too_large = Outgoing(topic, b"k", bytes(rig.record_bytes_max + 1), 0)
        producer = await rig.bus.producer()
        with pytest.raises(TopicError, match=topic):
            await producer.publish([*numbered(topic, range(3)), too_large])
        assert await producer.publish(numbered(topic, range(1))) == [(0, 0)]
        await producer.close()

    async def test_the_largest_record_is_carried(self, rig: Rig) -> None:
        topic = await rig.topic(partitions=1)
        value = bytes(rig.record_bytes_max - 200)
        await rig.publish(*[Outgoing(topic, b"k", value, 0)] * 2)
        consumer = await rig.consumer(topic)
        found = await fetch_until(consumer, 2)
        await consumer.close()
        assert [value, value] == values(found[TopicPartition(topic, 0)])

    async def test_everything_is_there_after_a_restart(self, rig: Rig) -> None:
        topic = await rig.topic(partitions=2)
        group = f"test-{uuid4().hex}"
        await rig.publish(*numbered(topic, range(5), partition=1))
        consumer = await rig.consumer(topic, group=group)
        await consumer.acknowledge({TopicPartition(topic, 1): 2})
        await consumer.close()
        await rig.reopen()
        assert {TopicPartition(topic, 1): 2} == await rig.bus.acknowledged(group)
        assert await rig.publish(*numbered(topic, range(5, 6), partition=1)) == [(1, 5)]
        consumer = await rig.consumer(topic, group=group)
        found = await fetch_until(consumer, 6)
        await consumer.close()
        assert [b"%d" % n for n in range(6)] == values(found[TopicPartition(topic, 1)])

    async def test_groups_read_the_same_records_without_knowing_of_each_other(
        self, rig: Rig
    ) -> None:
        topic = await rig.topic(partitions=1)
        one, two = await rig.consumer(topic), await rig.consumer(topic)
        await rig.publish(*numbered(topic, range(5)))
        for consumer in (one, two):
            assert len((await fetch_until(consumer, 5))[TopicPartition(topic, 0)]) == 5
            await consumer.close()

    async def test_publishers_at_the_same_time_share_a_partition(self, rig: Rig) -> None:
        topic = await rig.topic(partitions=2)

        async def publish(name: int) -> list[Placed]:
            producer = await rig.bus.producer()
            places = []
            for number in range(10):
                value = b"%d:%d" % (name, number)
                batch = [Outgoing(topic, b"", value, partition) for partition in (0, 1)]
                places += await producer.publish(batch)
            await producer.close()
            return places

        places = await asyncio.gather(*[publish(name) for name in range(6)])
        assert len({place for of_one in places for place in of_one}) == 120
        assert {(0, 60)} == set((await rig.bus.bounds([topic])).values())
        for partition in (0, 1):
            records = await rig.bus.read(TopicPartition(topic, partition), 0, records_max=60)
            for name in range(6):
                mine = [v for v in values(records) if v and v.startswith(b"%d:" % name)]
                assert [b"%d:%d" % (name, number) for number in range(10)] == mine

    async def test_one_producer_serves_several_tasks(self, rig: Rig) -> None:
        topic = await rig.topic(partitions=1)
        producer = await rig.bus.producer()
        batches = [numbered(topic, range(start, start + 5)) for start in range(0, 50, 5)]
        places = await asyncio.gather(*[producer.publish(batch) for batch in batches])
        await producer.close()
        assert set(range(50)) == {place.offset for of_one in places for place in of_one}

    async def test_close_gives_the_partitions_back_once(self, rig: Rig) -> None:
        topic = await rig.topic(partitions=2)
        owner = Owner()
        consumer = await rig.consumer(topic, owner=owner)
        await consumer.close()
        await consumer.close()
        assert [[TopicPartition(topic, 0), TopicPartition(topic, 1)]] == owner.revocations

    async def test_what_is_closed_refuses(self, rig: Rig) -> None:
        topic = await rig.topic(partitions=1)
        consumer, producer = await rig.consumer(topic), await rig.bus.producer()
        await consumer.close()
        await producer.close()
        with pytest.raises(BusError, match="closed"):
            await consumer.fetch(records_max=1, wait_ms=0)
        with pytest.raises(BusError, match="closed"):
            await producer.publish(numbered(topic, range(1)))

    async def test_a_group_is_free_again_after_close(self, rig: Rig) -> None:
        topic = await rig.topic(partitions=1)
        await rig.publish(*numbered(topic, range(1)))
        for _ in range(3):
            consumer = await rig.consumer(topic, group="test-again")
            assert len((await fetch_until(consumer, 1))[TopicPartition(topic, 0)]) == 1
            await consumer.close()

    async def test_a_missing_topic_is_named(self, rig: Rig) -> None:
        missing = f"test.{uuid4().hex}"
        producer = await rig.bus.producer()
        attempts = [
            rig.bus.bounds([missing]),
            rig.bus.read(TopicPartition(missing, 0), 0, records_max=1),
            rig.bus.latest(missing),
            rig.consumer(missing),
            producer.publish([Outgoing(missing, b"k", b"v")]),
        ]
        for attempt in attempts:
            with pytest.raises(TopicError, match=f"{missing} does not exist"):
                await attempt
        assert await rig.bus.describe([spec(missing)]) == []
        await producer.close()

    async def test_a_partition_that_the_topic_has_not_is_refused(self, rig: Rig) -> None:
        topic = await rig.topic(partitions=2)
        with pytest.raises(TopicError, match="partitions 0 to 1, not 2"):
            await rig.publish(Outgoing(topic, b"k", b"v", 0), Outgoing(topic, b"k", b"v", 2))
        assert {(0, 0)} == set((await rig.bus.bounds([topic])).values())

    async def test_creating_again_changes_nothing(self, rig: Rig) -> None:
        topic = await rig.topic(partitions=2)
        await rig.publish(*numbered(topic, range(3)))
        await rig.bus.create([spec(topic, partitions=2)])
        assert Bounds(0, 3) == (await rig.bus.bounds([topic]))[TopicPartition(topic, 0)]
        with pytest.raises(TopicError, match="exists with 2 partitions, not 3"):
            await rig.bus.create([spec(topic, partitions=3)])

    @pytest.mark.parametrize("name", ["", "..", "a/b", "../escape", "é", "x" * 250])
    async def test_a_name_that_no_topic_may_have_is_refused(self, rig: Rig, name: str) -> None:
        with pytest.raises(TopicError, match="cannot be the name of a topic"):
            await rig.bus.create([spec(name)])

    async def test_topics_consumed_together_have_the_same_partitions(self, rig: Rig) -> None:
        two, other_two, three = [await rig.topic(partitions=count) for count in (2, 2, 3)]
        with pytest.raises(TopicError, match="differ in partitions"):
            await rig.bus.consumer([two, three], group="test-differ", ownership=Owner())
        owner = Owner()
        consumer = await rig.bus.consumer([two, other_two], group="test-same", ownership=owner)
        await rig.publish(*numbered(two, range(2)), *numbered(other_two, range(2)))
        found = await fetch_until(consumer, 4)
        await consumer.close()
        assert len(owner.owned) == 4
        assert {TopicPartition(two, 0), TopicPartition(other_two, 0)} == set(found)

    async def test_a_topic_is_described_as_it_is(self, rig: Rig) -> None:
        topic = await rig.topic(partitions=2)
        await rig.publish(*numbered(topic, range(3)))
        (described,) = await rig.bus.describe([spec(topic, partitions=2)])
        assert (topic, 2, 1) == (described.name, described.partitions, described.replicas)
        assert {0: Bounds(0, 3), 1: Bounds(0, 0)} == described.bounds
        assert ("delete", str(KEEP_MS)) == (
            described.settings["cleanup.policy"],
            described.settings["retention.ms"],
        )
        assert described.faults == []

    async def test_a_compacted_data_topic_is_a_fault(self, rig: Rig) -> None:
        topic = await rig.topic(compacted=True)
        (right,) = await rig.bus.describe([spec(topic, compacted=True)])
        (wrong,) = await rig.bus.describe([spec(topic)])
        assert right.faults == []
        assert "newest record" in wrong.faults[0]
