"""The bus on Kafka keeps the contract, on a real broker."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
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
        self._address = address
        self._topics: list[str] = []
        self._open()

    def _open(self) -> None:
        settings = KafkaSettings(
            bootstrap_servers=self._address,
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
        admin = AIOKafkaAdminClient(bootstrap_servers=self._address)
        await admin.start()
        await admin.delete_records({KafkaPartition(*partition): RecordsToDelete(begin)})
        await admin.close()

    async def close(self) -> None:
        await self.bus.close()
        if self._topics:
            admin = AIOKafkaAdminClient(bootstrap_servers=self._address)
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
