"""What every bus promises. A subclass gives the fixture ``rig``: a bus and what tests do to it."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from streambackup.bus.port import Bounds, Outgoing, Placed, TopicPartition, partition_of
from streambackup.errors import PositionLostError, TopicError
from tests.contract.bus_consumer_contract import BusConsumerContract
from tests.contract.bus_rig import (
    KEEP_MS,
    Rig,
    fetch_until,
    numbered,
    spec,
    values,
)


class BusContract(BusConsumerContract):
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

    async def test_bounds_grow_at_the_end_and_shrink_at_the_beginning(self, rig: Rig) -> None:
        topic = await rig.topic(partitions=2)
        grown, untouched = TopicPartition(topic, 0), TopicPartition(topic, 1)
        for number in range(5):
            await rig.publish(*numbered(topic, range(number, number + 1)))
        assert {grown: (0, 5), untouched: (0, 0)} == await rig.bus.bounds([topic])
        await rig.trim(grown, 3)
        assert {grown: Bounds(3, 5), untouched: Bounds(0, 0)} == await rig.bus.bounds([topic])

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

    async def test_latest_is_the_newest_value_per_key_without_tombstones(self, rig: Rig) -> None:
        topic = await rig.topic(partitions=1, compacted=True)
        assert await rig.bus.latest(topic) == {}
        changes: list[tuple[bytes, bytes | None]] = [(b"a", b"1"), (b"b", b"1"), (b"a", b"2")]
        changes += [(b"b", None), (b"c", b"1"), (b"c", b""), (b"d", None), (b"d", b"1")]
        await rig.publish(*[Outgoing(topic, key, value) for key, value in changes[:3]])
        for key, value in changes[3:]:
            await rig.publish(Outgoing(topic, key, value))
        assert await rig.bus.latest(topic) == {b"a": b"2", b"c": b"", b"d": b"1"}

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
