"""What every bus promises to those who consume."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from streambackup.bus.port import Bounds, Outgoing, TopicPartition
from streambackup.errors import BusError, TopicError
from tests.contract.bus_rig import (
    LONG_MS,
    Owner,
    RefusedError,
    RefusingOwner,
    Rig,
    fetch_until,
    lost_position,
    numbered,
    values,
)


class BusConsumerContract:
    async def test_who_takes_part_is_heard_of(self, rig: Rig) -> None:
        consumer = await rig.consumer(await rig.topic())
        await consumer.fetch(records_max=1, wait_ms=0)
        silence_s = consumer.silence_s
        await consumer.close()

        assert 0 <= silence_s < LONG_MS / 1000

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

    async def test_groups_read_the_same_records_without_knowing_of_each_other(
        self, rig: Rig
    ) -> None:
        topic = await rig.topic(partitions=1)
        one, two = await rig.consumer(topic), await rig.consumer(topic)
        await rig.publish(*numbered(topic, range(5)))
        for consumer in (one, two):
            assert len((await fetch_until(consumer, 5))[TopicPartition(topic, 0)]) == 5
            await consumer.close()

    async def test_who_reads_as_no_group_has_everything_beside_others_and_leaves_no_trace(
        self, rig: Rig
    ) -> None:
        topic = await rig.topic(partitions=2)
        await rig.publish(*numbered(topic, range(5)), *numbered(topic, range(5), partition=1))
        group = f"test-{uuid4().hex}"
        member = await rig.consumer(topic, group=group)
        owners = [Owner(), Owner({TopicPartition(topic, 0): 5, TopicPartition(topic, 1): 3})]
        alone = [await rig.bus.consumer([topic], group=None, ownership=owner) for owner in owners]
        assert len(await fetch_until(member, 10)) == 2
        assert len(await fetch_until(alone[0], 10)) == 2
        assert values((await fetch_until(alone[1], 2))[TopicPartition(topic, 1)]) == [b"3", b"4"]
        for consumer in alone:
            await consumer.acknowledge({TopicPartition(topic, 0): 5})
            await consumer.close()
        await member.close()
        assert [len(owner.revocations) for owner in owners] == [1, 1]
        assert await rig.bus.acknowledged(group) == {}

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
