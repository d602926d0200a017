"""What a real broker no longer has is a gap, and a topic made anew another life: the partition goes
on from what exists, its accounts are in doubt, and whoever looks is told.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from tests.support.backup import Backup
from tests.support.running import Running

pytestmark = [pytest.mark.scenario, pytest.mark.kafka, pytest.mark.timeout(300)]

ANN = "ann@example.org"
TRANSACTIONS = "mailbox.transactions"
SETTINGS: dict[str, str | int] = {
    "bus.kind": "kafka",
    "bus.kafka.session_timeout_ms": 6_000,
    "bus.kafka.heartbeat_interval_ms": 500,
}


class Broker:
    """What somebody does to topics behind our back."""

    def __init__(self, address: str) -> None:
        self._address = address

    @contextlib.asynccontextmanager
    async def _admin(self) -> AsyncIterator[AIOKafkaAdminClient]:
        admin = AIOKafkaAdminClient(bootstrap_servers=self._address)
        await admin.start()
        try:
            yield admin
        finally:
            await admin.close()

    async def drop(self, before: int) -> None:
        """As retention does."""
        async with self._admin() as admin:
            tp = TopicPartition(TRANSACTIONS, 0)
            await admin.delete_records({tp: RecordsToDelete(before)})

    async def delete_topic(self) -> None:
        async with self._admin() as admin:
            await admin.delete_topics([TRANSACTIONS])
            while TRANSACTIONS in await admin.list_topics():
                continue


@pytest.fixture
def broker(fresh_kafka: str) -> Broker:
    return Broker(fresh_kafka)


@pytest.fixture
def backup(tmp_path: Path, fresh_kafka: str, broker: Broker) -> Backup:
    made = Backup(tmp_path / "b", settings={**SETTINGS, "bus.kafka.bootstrap_servers": fresh_kafka})
    made.ask("topic", "create", "--partitions", 1)
    return made.init()


def lines(*names: str) -> list[dict[str, Any]]:
    return [
        {"account": ANN, "item": name, "type": "document", "state": {"name": name}}
        for name in names
    ]


def items(backup: Backup) -> list[str]:
    return sorted(backup.reader().examine(ANN).items)


def doubts(backup: Backup) -> str:
    """The account is in doubt, and the store sound."""
    backup.expect_sound()
    return "; ".join(doubt["reason"] for doubt in backup.json("account", "show", ANN)["in_doubt"])


def wait_for_items(running: Running, backup: Backup, *names: str) -> None:
    running.wait_until(lambda: items(backup) == sorted(names), f"{names} were there")


def wait_for_gap(running: Running) -> None:
    """Metric, status and log tell of it."""
    metric = f'streambackup_gaps_total{{topic="{TRANSACTIONS}"}} 1.0'.encode()
    running.wait_until(lambda: metric in running.get("/metrics"), "the metric told")
    status = running.wait_until(
        lambda: found if (found := running.status())["gaps"] else None, "the gap was filed"
    )
    assert any("1 gap" in warning for warning in status["warnings"])
    assert len(running.events("gap")) == 1


async def test_what_retention_took_while_nobody_read_is_a_gap(
    backup: Backup, broker: Broker
) -> None:
    backup.recorded(lines("a", "b"))
    backup.publish(lines("c", "d", "e"))
    await broker.drop(before=5)
    with backup.service() as running:
        wait_for_items(running, backup, "a", "b", "e")
        wait_for_gap(running)

    assert "the topic begins at 5, the journal ends at 3" in doubts(backup)


async def test_retention_that_overtakes_a_reader_at_work_is_a_gap(
    backup: Backup, broker: Broker
) -> None:
    with backup.service() as running:
        backup.publish(lines("a", "b"))
        wait_for_items(running, backup, "a", "b")
        os.kill(running.pid, signal.SIGSTOP)
        backup.publish(lines("c", "d", "e"))
        await broker.drop(before=5)
        os.kill(running.pid, signal.SIGCONT)
        wait_for_items(running, backup, "a", "b", "e")
        wait_for_gap(running)

    assert "the topic begins at 5" in doubts(backup)


@pytest.mark.parametrize("more", [1, 5], ids=["shorter", "longer"])
async def test_a_topic_made_anew_while_nobody_read_is_another_life(
    backup: Backup, broker: Broker, more: int
) -> None:
    """Shorter, the position is beyond its end; longer, a client would go on silently."""
    backup.recorded(lines("a", "b"))
    await broker.delete_topic()
    backup.ask("topic", "create", "--partitions", 1)
    names = [f"n{number}" for number in range(more)]
    backup.publish(lines(*names))
    with backup.service() as running:
        wait_for_items(running, backup, "a", "b", *names)
        wait_for_gap(running)

    assert "the topic was made anew" in doubts(backup)


@pytest.mark.parametrize("more", [1, 5], ids=["shorter", "longer"])
async def test_a_topic_made_anew_under_a_reader_at_work_is_another_life(
    backup: Backup, broker: Broker, more: int
) -> None:
    names = [f"n{number}" for number in range(more)]
    with backup.service() as running:
        backup.publish(lines("a", "b"))
        wait_for_items(running, backup, "a", "b")
        await broker.delete_topic()
        backup.ask("topic", "create", "--partitions", 1)
        backup.publish(lines(*names))
        wait_for_items(running, backup, "a", "b", *names)
        wait_for_gap(running)

    assert "the topic was made anew" in doubts(backup)
