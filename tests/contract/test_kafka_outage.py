"""Kafka goes away, at the start and in the middle of work, and comes back."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from streambackup.bus.kafka import KafkaBus, KafkaSettings
from streambackup.bus.port import TopicPartition
from streambackup.errors import BusError
from streambackup.runtime.clock import SystemClock
from tests.contract.bus_rig import Owner, fetch_until, numbered, spec
from tests.support.own_kafka import OwnKafka

TOPIC = "mailbox.test"
ZERO = TopicPartition(TOPIC, 0)
LINES_MAX = 400
"""Of the client's own log in some seconds; without a pause it writes thousands in each."""


@pytest.fixture
def kafka(kafka_address: str, tmp_path: Path) -> Iterator[OwnKafka]:
    kafka = OwnKafka(tmp_path)
    yield kafka
    kafka.stop()


@pytest.fixture
async def nowhere() -> AsyncIterator[KafkaBus]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = "{}:{}".format(*free.getsockname())
    bus = KafkaBus(KafkaSettings(bootstrap_servers=address), clock=SystemClock())
    yield bus
    await bus.close()


async def test_a_broker_that_is_not_there_is_one_clear_error(nowhere: KafkaBus) -> None:
    producer = await nowhere.producer()
    for attempt in [
        producer.publish(numbered(TOPIC, range(1))),
        nowhere.consumer([TOPIC], group="test", ownership=Owner()),
        nowhere.bounds([TOPIC]),
        nowhere.read(ZERO, 0, records_max=1),
        nowhere.latest(TOPIC),
        nowhere.acknowledged("test"),
        nowhere.create([spec(TOPIC)]),
        nowhere.describe([spec(TOPIC)]),
    ]:
        with pytest.raises(BusError, match="the brokers cannot be reached") as caught:
            await attempt
        assert "bootstrap_servers" in str(caught.value.hint)
    await producer.close()


@pytest.mark.kafka
@pytest.mark.timeout(150)
async def test_work_goes_on_when_a_killed_broker_is_back(kafka: OwnKafka) -> None:
    settings = KafkaSettings(bootstrap_servers=kafka.address, publish_limit_ms=2000)
    bus = KafkaBus(settings, clock=SystemClock())
    await bus.create([spec(TOPIC, partitions=1)])
    producer = await bus.producer()
    staying, leaving = [
        await bus.consumer([TOPIC], group=group, ownership=Owner()) for group in ("a", "b")
    ]
    await producer.publish(numbered(TOPIC, range(10)))
    await fetch_until(staying, 10)
    await leaving.acknowledge({ZERO: 3})

    kafka.kill()
    with pytest.raises(BusError, match="cannot be reached"):
        await producer.publish(numbered(TOPIC, range(10, 20)))
    with pytest.raises(BusError, match="cannot be reached"):
        await bus.bounds([TOPIC])
    await leaving.close()

    kafka.start()
    places = await producer.publish(numbered(TOPIC, range(10, 20)))
    assert [place.offset for place in places] == [*range(places[0].offset, places[0].offset + 10)]
    seen: dict[int, bytes | None] = {}
    while places[-1].offset not in seen:
        for records in (await staying.fetch(records_max=100, wait_ms=1000)).values():
            seen |= {record.offset: record.value for record in records}
    assert [seen[place.offset] for place in places] == [b"%d" % n for n in range(10, 20)]
    assert await bus.acknowledged("b") == {ZERO: 3}
    await staying.close()
    await producer.close()
    await bus.close()


@pytest.mark.kafka
@pytest.mark.timeout(150)
async def test_a_publisher_asks_quietly_while_the_brokers_are_stopped(
    kafka: OwnKafka, caplog: pytest.LogCaptureFixture
) -> None:
    """A broker that takes its leave says that nobody leads: to ask again at once were a flood."""
    settings = KafkaSettings(bootstrap_servers=kafka.address, publish_limit_ms=4000)
    bus = KafkaBus(settings, clock=SystemClock())
    await bus.create([spec(TOPIC, partitions=4)])
    producer = await bus.producer()

    async def publish_on() -> None:
        while True:
            await producer.publish(numbered(TOPIC, range(4)))

    async with asyncio.TaskGroup() as group:
        stopping = group.create_task(asyncio.to_thread(kafka.stop))
        with pytest.raises(BusError):
            await publish_on()
        await stopping

    assert len(caplog.records) < LINES_MAX
    await producer.close()
    await bus.close()
