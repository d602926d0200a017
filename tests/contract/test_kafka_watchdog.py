"""A client whose own tasks die, on a real broker: the watchdog makes a new one, nothing is lost."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Collection
from pathlib import Path
from typing import Any

import pytest

from streambackup.bus.kafka import KafkaBus, KafkaSettings
from streambackup.bus.kafka.consumer import KafkaConsumer
from streambackup.bus.port import Ownership
from streambackup.errors import BusError, StuckError
from streambackup.realtime.stream_worker import FetchSettings, StreamWorker
from streambackup.realtime.takeover import Takeover
from streambackup.runtime.clock import SystemClock
from streambackup.runtime.metrics import Metrics
from streambackup.runtime.tasks import supervise
from streambackup.service.watchdog import Watchdog
from streambackup.testing.events import TIME_MS, put
from streambackup.testing.partition_store import identity
from tests.contract.bus_rig import Owner
from tests.contract.test_kafka_bus import KafkaRig
from tests.support.account_service import AccountService, ServedWorker, outgoing

pytestmark = pytest.mark.kafka

LIMIT_S = 3.0
FIRST, LATER = range(1, 11), range(11, 14)
FOR_EVER = 10**9


def coordination(client: Any) -> asyncio.Task[None]:
    """Keeps the member in its group; without it, but with heartbeats, nobody else gets its
    partitions.
    """
    task: asyncio.Task[None] = client._coordinator._coordination_task
    return task


def fetching(client: Any) -> asyncio.Task[None]:
    """Gets records; without it nothing is handed out, and nothing said."""
    task: asyncio.Task[None] = client._fetcher._fetch_task
    return task


def heartbeats(client: Any) -> asyncio.Task[None]:
    task: asyncio.Task[None] = client._coordinator._heartbeat_task
    return task


class BreakableBus(KafkaBus):
    """Remembers its consumers. The first *broken* lose the tasks that *named* says, when told to,
    and those behind the first as soon as they have joined.
    """

    def __init__(
        self, address: str, named: Collection[Callable[[Any], asyncio.Task[None]]], broken: int
    ) -> None:
        settings = KafkaSettings(
            bootstrap_servers=address,
            session_timeout_ms=2_000,
            heartbeat_interval_ms=200,
            rebalance_timeout_ms=2_000,
        )
        super().__init__(settings, clock=SystemClock())
        self._named = named
        self._broken = broken
        self.consumers: list[KafkaConsumer] = []

    async def consumer(
        self, topics: Collection[str], *, group: str | None, ownership: Ownership
    ) -> KafkaConsumer:
        consumer = await super().consumer(topics, group=group, ownership=ownership)
        self.consumers.append(consumer)
        if 1 < len(self.consumers) <= self._broken:
            await self.break_last()
        return consumer

    async def break_last(self) -> None:
        """Until they are done: in some places aiokafka takes no notice of one cancellation."""
        for task in [named(self.consumers[-1]._client) for named in self._named]:
            while not task.done():
                task.cancel()
                await asyncio.to_thread(lambda: None)


class Rig:
    """A worker on a topic of its own, and its watchdog."""

    def __init__(self, root: Path, bus: BreakableBus, topic: str) -> None:
        self.service = AccountService(root / "store")
        self.bus = bus
        self.topic = topic
        self.worker = StreamWorker(
            ServedWorker(self.service),
            bus=bus,
            topic=topic,
            group=f"test-{uuid.uuid4().hex}",
            life=self.service.life,
            takeover=Takeover(
                root=self.service.root,
                bus=bus,
                disk=self.service.disk,
                clock=SystemClock(),
                identity=identity(),
            ),
            settings=FetchSettings(),
            clock=SystemClock(),
            metrics=Metrics(),
        )

    async def publish(self, numbers: range) -> None:
        producer = await self.bus.producer()
        records = [outgoing(put("m", n, time_ms=TIME_MS + 1_000 * n, n=n)) for n in numbers]
        await producer.publish([record._replace(topic=self.topic) for record in records])
        await producer.close()

    async def reached(self, offset: int) -> None:
        while [turn.owner.position for turn in self.worker._turns.values()] != [offset]:
            await asyncio.to_thread(lambda: None)

    async def work(self) -> None:
        """Read what is there, break, publish more, and read that too."""
        clock, metrics = SystemClock(), Metrics()
        watchdog = Watchdog(
            lambda: {self.worker: self.bus}, clock=clock, limit_s=LIMIT_S, metrics=metrics
        )

        async def script(stop: asyncio.Event) -> None:
            await self.publish(FIRST)
            await self.reached(FIRST[-1])
            await self.bus.break_last()
            for number in LATER:  # A request that was under way may still bring one of them.
                await self.publish(range(number, number + 1))
                await self.reached(number)
            stop.set()

        parts = {"worker": self.worker.run, "watchdog": watchdog.run, "script": script}
        await supervise(parts, stop=asyncio.Event(), drain_s=1.0)

    def states(self) -> list[int]:
        history = self.service.reader().history("anna")
        assert history.doubts == ()
        return [state.state["n"] for state in history.items["m"].states]


@pytest.fixture
async def topic(kafka_address: str) -> AsyncIterator[str]:
    rig = KafkaRig(kafka_address)
    yield await rig.topic(partitions=1)
    await rig.close()


BREAKS = [
    pytest.param([coordination], id="coordination"),
    pytest.param([fetching], id="fetching"),
    pytest.param([coordination, heartbeats], id="coordination and heartbeats"),
]


async def test_a_consumer_knows_when_its_group_heard_of_it_last(
    kafka_address: str, topic: str
) -> None:
    bus = BreakableBus(kafka_address, [coordination, heartbeats], broken=1)
    consumer = await bus.consumer([topic], group=f"test-{uuid.uuid4().hex}", ownership=Owner())
    falls, before_s = 0, consumer.silence_s
    while falls < 3:  # With each heartbeat.
        await consumer.fetch(records_max=1, wait_ms=20)
        falls += consumer.silence_s < before_s
        before_s = consumer.silence_s
    await bus.break_last()
    broken_s = consumer.silence_s
    while consumer.silence_s < broken_s + 1.0:
        with pytest.raises(BusError, match="cut off"):
            await consumer.fetch(records_max=1, wait_ms=20)
    await consumer.close()
    await bus.close()

    assert falls == 3


@pytest.mark.timeout(90)
@pytest.mark.parametrize("named", BREAKS)
async def test_the_worker_goes_on_with_a_new_client(
    tmp_path: Path, kafka_address: str, topic: str, named: Any
) -> None:
    bus = BreakableBus(kafka_address, named, broken=1)
    rig = Rig(tmp_path, bus, topic)
    await rig.work()
    await bus.close()

    assert len(bus.consumers) == 2
    assert rig.states() == [*FIRST, *LATER]


@pytest.mark.timeout(90)
async def test_where_every_client_breaks_the_service_ends(
    tmp_path: Path, kafka_address: str, topic: str
) -> None:
    bus = BreakableBus(kafka_address, [coordination], broken=FOR_EVER)
    rig = Rig(tmp_path, bus, topic)
    with pytest.raises(StuckError, match="stood still"):
        await rig.work()
    await bus.close()

    # A request that was under way may have brought the one behind them.
    assert rig.states() in ([*FIRST], [*FIRST, LATER[0]])
