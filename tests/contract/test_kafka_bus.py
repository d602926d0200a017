"""The bus on Kafka keeps the contract, on a real broker."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from streambackup.bus.kafka import KafkaBus, KafkaSettings
from streambackup.bus.port import TopicPartition
from streambackup.runtime.clock import SystemClock
from tests.contract.bus_contract import BusContract
from tests.contract.bus_group_contract import BusGroupContract
from tests.contract.bus_rig import Rig

pytestmark = pytest.mark.kafka

BROKER_LIMIT = 1_048_588  # the broker's own message.max.bytes


class KafkaRig(Rig):
    record_bytes_max = BROKER_LIMIT

    def __init__(self, address: str) -> None:
        self.address = address
        self._topics: list[str] = []
        self._open()

    def _open(self) -> None:
        settings = KafkaSettings(
            bootstrap_servers=self.address,
            session_timeout_ms=3_000,
            heartbeat_interval_ms=300,
            rebalance_timeout_ms=10_000,
        )
        self.bus = KafkaBus(settings, clock=SystemClock())

    async def topic(self, *, partitions: int = 4, compacted: bool = False) -> str:
        name = await super().topic(partitions=partitions, compacted=compacted)
        self._topics.append(name)
        return name

    async def reopen(self) -> None:
        await self.bus.close()
        self._open()

    async def trim(self, partition: TopicPartition, begin: int) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.address)
        await admin.start()
        await admin.delete_records({KafkaPartition(*partition): RecordsToDelete(begin)})
        await admin.close()

    async def close(self) -> None:
        await self.bus.close()
        if self._topics:
            admin = AIOKafkaAdminClient(bootstrap_servers=self.address)
            await admin.start()
            await admin.delete_topics(self._topics)
            await admin.close()


@pytest.fixture
async def rig(kafka_address: str) -> AsyncIterator[KafkaRig]:
    rig = KafkaRig(kafka_address)
    yield rig
    await rig.close()


class TestKafkaBus(BusContract, BusGroupContract):
    pass


async def test_what_a_producer_took_back_is_not_handed_out(rig: KafkaRig) -> None:
    """Other programs may publish in Kafka's own transactions, several of which fill one answer."""
    tp = TopicPartition(await rig.topic(partitions=1), 0)
    async with _in_transactions(rig, tp.topic) as producer:
        for value in (b"kept 1", b"taken back 1", b"kept 2", b"taken back 2", b"kept 3"):
            await producer.begin_transaction()
            await producer.send_and_wait(tp.topic, value, partition=0)
            kept = value.startswith(b"kept")
            await (producer.commit_transaction() if kept else producer.abort_transaction())
    async with _in_transactions(rig, tp.topic):
        pass  # its start waits for the marker that ends the last transaction
    end_offset = (await rig.bus.bounds([tp.topic]))[tp].end
    records = await rig.bus.read(tp, 0, records_max=100)
    from_the_midst = await rig.bus.read(tp, records[0].offset + 1, records_max=1)

    assert [record.value for record in records] == [b"kept 1", b"kept 2", b"kept 3"]
    assert [record.value for record in from_the_midst] == [b"kept 2"]
    assert end_offset == 10


def _in_transactions(rig: KafkaRig, name: str) -> AIOKafkaProducer:
    return AIOKafkaProducer(bootstrap_servers=rig.address, transactional_id=name)
