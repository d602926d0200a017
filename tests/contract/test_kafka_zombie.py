"""A member of a group that was away for longer than its session, on a real broker."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from streambackup.bus.kafka import KafkaBus, KafkaSettings
from streambackup.errors import BusError
from streambackup.runtime.clock import SystemClock
from tests.contract.bus_group_contract import Member, look_until, member, partitions_of
from tests.contract.bus_rig import LONG_MS, Owner, numbered, values
from tests.contract.test_kafka_bus import KafkaRig

pytestmark = pytest.mark.kafka

RECORDS = 40
GROUP = "test-zombie"


class Zombie:
    """A member with a loop of its own, which stands still from its first record on until ``thaw``:
    no heartbeat, no callback, as in a process that was stopped.
    """

    def __init__(self, address: str, topic: str) -> None:
        self._settings = KafkaSettings(
            bootstrap_servers=address, session_timeout_ms=3_000, heartbeat_interval_ms=300
        )
        self._topic = topic
        self.owner = Owner()
        self.joined = threading.Event()
        self.thaw = threading.Event()
        self.stale: list[bytes | None] = []
        self.refusal: BusError | None = None

    def run(self) -> None:
        asyncio.run(self._run())

    async def _run(self) -> None:
        bus = KafkaBus(self._settings, clock=SystemClock())
        consumer = await bus.consumer([self._topic], group=GROUP, ownership=self.owner)
        self.joined.set()
        held = set(self.owner.held)
        while not await consumer.fetch(records_max=1, wait_ms=100):
            pass
        assert self.thaw.wait(LONG_MS / 1000)
        for found in (await consumer.fetch(records_max=RECORDS, wait_ms=0)).values():
            self.stale += values(found)
        try:
            await consumer.acknowledge(dict.fromkeys(held, RECORDS))
        except BusError as refusal:
            self.refusal = refusal
        async with asyncio.timeout(LONG_MS / 1000):
            while len(self.owner.revocations) < 1 or not self.owner.held:
                await consumer.fetch(records_max=RECORDS, wait_ms=50)
        await consumer.close()
        await bus.close()


@pytest.fixture
async def rig(kafka_address: str) -> AsyncIterator[KafkaRig]:
    rig = KafkaRig(kafka_address)
    yield rig
    await rig.close()


async def test_it_cannot_speak_for_the_group_and_joins_it_again(
    rig: KafkaRig, kafka_address: str
) -> None:
    """Even while it hands out records of a partition that another one owns by now."""
    topic = await rig.topic(partitions=2)
    for number in range(2):
        await rig.publish(*numbered(topic, range(RECORDS), partition=number))
    zombie = Zombie(kafka_address, topic)
    thread = threading.Thread(target=zombie.run)
    thread.start()
    assert await asyncio.to_thread(zombie.joined.wait, LONG_MS / 1000)
    healthy = await member(rig, [topic], GROUP)
    await look_until(lambda: healthy.held == partitions_of(topic, 2), healthy)
    await look_until(lambda: _read_all(healthy), healthy)
    everything = dict.fromkeys(healthy.held, RECORDS)
    await healthy.consumer.acknowledge(everything)

    zombie.thaw.set()
    await look_until(lambda: not thread.is_alive(), healthy)
    thread.join()
    assert len(zombie.owner.revocations) > 1  # What it lost, and what it gave back at its end.
    assert zombie.stale
    assert zombie.refusal is not None
    assert "to another worker" in zombie.refusal.message
    assert await rig.bus.acknowledged(GROUP) == everything
    await look_until(lambda: healthy.held == partitions_of(topic, 2), healthy)
    await healthy.consumer.close()


def _read_all(healthy: Member) -> bool:
    ends = [
        {record.offset for record in records} == set(range(RECORDS))
        for records in healthy.records.values()
    ]
    return len(ends) == 2 and all(ends)
