"""Kafka goes away, at the start and in the middle of work, and comes back."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from streambackup.bus.kafka import KafkaBus, KafkaSettings
from streambackup.bus.port import TopicPartition
from streambackup.errors import BusError
from streambackup.runtime.clock import SystemClock
from tests.contract.bus_rig import Owner, fetch_until, numbered, spec
from tests.real_parts import SCRIPTS

TOPIC = "mailbox.test"
ZERO = TopicPartition(TOPIC, 0)


class OwnKafka:
    """A broker that a test may kill; it shares only the jars with everybody's."""

    def __init__(self, folder: Path) -> None:
        self._environment = {**os.environ, "STREAMBACKUP_SERVICES_DIR": str(folder)}
        self._environment["STREAMBACKUP_KAFKA_HEAP"] = "256m"
        shared = json.loads(_services("status", "kafka", "--json"))["folder"]
        (folder / "kafka").mkdir()
        (folder / "kafka" / "jars").symlink_to(Path(shared) / "jars")
        self.start()

    def start(self) -> None:
        last_line = _services("start", "kafka", environment=self._environment).splitlines()[-1]
        self.address = last_line.split()[1]

    def kill(self) -> None:
        status = json.loads(_services("status", "kafka", "--json", environment=self._environment))
        os.kill(status["pid"], signal.SIGKILL)

    def stop(self) -> None:
        _services("stop", "kafka", environment=self._environment)


def _services(*arguments: str, environment: dict[str, str] | None = None) -> str:
    command: list[str | Path] = [SCRIPTS / "services", *arguments]
    return subprocess.run(
        command, env=environment, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


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
