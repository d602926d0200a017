"""The real broker, for scenarios: our topics have fixed names, so each begins without them."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from parts.certificates import Authority
from tests.support.secure_kafka import SecureKafka

TOPICS = [
    "mailbox.transactions",
    "mailbox.blobs",
    "mailbox.inventory",
    "mailbox.quarantine",
    "streambackup.config",
]


@pytest.fixture
async def fresh_kafka(kafka_address: str) -> AsyncIterator[str]:
    """The real broker without our topics, before and after."""
    async with _without_topics(kafka_address):
        yield kafka_address


@pytest.fixture
async def fresh_secure_kafka(secure_kafka: SecureKafka) -> AsyncIterator[SecureKafka]:
    """The same of the broker that wants to know who comes."""
    async with _without_topics(secure_kafka.open_address):
        yield secure_kafka


@contextlib.asynccontextmanager
async def _without_topics(address: str) -> AsyncIterator[None]:
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    try:
        await _delete_topics(admin)
        yield
        await _delete_topics(admin)
    finally:
        await admin.close()


async def _delete_topics(admin: AIOKafkaAdminClient) -> None:
    """On return the broker knows none of our topics any more."""
    while present := [topic for topic in await admin.list_topics() if _is_ours(topic)]:
        await admin.delete_topics(present)


def _is_ours(topic: str) -> bool:
    """Whether it is one of ours, of any generation."""
    return topic.partition(".g")[0] in TOPICS


@pytest.fixture
def strange_files(secure_kafka: SecureKafka, tmp_path: Path) -> Path:
    """Certificates that the broker does not trust: another authority's, and its own's of old."""
    stranger = Authority(tmp_path / "strange")
    stranger.issue("stranger")
    ours = tmp_path / "ours"
    shutil.copytree(secure_kafka.ca_file.parent, ours)
    expired = Authority(ours).issue("expired", days=-1)
    shutil.copy(expired, stranger.folder)
    return stranger.folder
