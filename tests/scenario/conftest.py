"""The real broker, for scenarios: our topics have fixed names, so each begins without them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiokafka.admin import AIOKafkaAdminClient

TOPICS = ["mailbox.transactions", "mailbox.blobs", "mailbox.inventory", "streambackup.config"]


@pytest.fixture
async def fresh_kafka(kafka_address: str) -> AsyncIterator[str]:
    """The real broker without our topics, before and after."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_address)
    await admin.start()
    try:
        await _delete_topics(admin)
        yield kafka_address
        await _delete_topics(admin)
    finally:
        await admin.close()


async def _delete_topics(admin: AIOKafkaAdminClient) -> None:
    """On return the broker knows none of our topics any more."""
    while present := [topic for topic in await admin.list_topics() if topic in TOPICS]:
        await admin.delete_topics(present)
