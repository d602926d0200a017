"""Replaying the topics of a real broker."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from streambackup.blobs.loose import LooseBlobs
from streambackup.bus.kafka import KafkaBus, KafkaSettings
from streambackup.events.topics import BLOBS, TRANSACTIONS
from streambackup.runtime.clock import SystemClock
from tests.scenario.test_replay import (
    PARTITIONS,
    faults,
    fill_bus,
    named_by,
    record_all,
    replay,
    seen,
)
from tests.support.backup import Backup, clean_environment
from tests.support.raw_bus import RawBus
from tests.support.running import Running

pytestmark = [pytest.mark.scenario, pytest.mark.kafka, pytest.mark.timeout(240)]


def kafka(address: str) -> KafkaBus:
    return KafkaBus(KafkaSettings(bootstrap_servers=address), clock=SystemClock())


def store(root: Path, address: str) -> Backup:
    settings = {"bus.kind": "kafka", "bus.kafka.bootstrap_servers": address}
    return Backup(root, settings=settings)


@pytest.fixture
def backup(tmp_path: Path, fresh_kafka: str) -> Backup:
    fill_bus(kafka(fresh_kafka), "kafka")
    return store(tmp_path / "backup", fresh_kafka).init()


def forget(address: str, ends: dict[TopicPartition, int]) -> None:
    """Have the broker drop what stands before *ends*, as retention does."""

    async def delete() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=address)
        await admin.start()
        await admin.delete_records({tp: RecordsToDelete(end) for tp, end in ends.items()})
        await admin.close()

    asyncio.run(delete())


def ends_of(address: str, topic: str) -> dict[TopicPartition, int]:
    with RawBus(kafka(address)) as raw:
        return {TopicPartition(*tp): at.end for tp, at in raw.bounds().items() if tp.topic == topic}


def committed(backup: Backup, address: str) -> list[dict[Any, int]]:
    """What the groups of the store told the broker."""

    async def ask() -> list[dict[Any, int]]:
        bus = kafka(address)
        group = f"streambackup.{backup.reader().config.store}"
        try:
            return [
                await bus.acknowledged(f"{group}.{topic}") for topic in ("transactions", "blobs")
            ]
        finally:
            await bus.close()

    return asyncio.run(ask())


@pytest.mark.row("M6")
def test_a_replay_killed_beside_a_service_ends_equal_and_is_heard_by_nobody(
    tmp_path: Path, backup: Backup, fresh_kafka: str
) -> None:
    """Then it is run as what it is: a replica that keeps up."""
    to = tmp_path / "replay"
    record_all(backup)
    told = committed(backup, fresh_kafka)
    ends = [ends_of(fresh_kafka, topic) for topic in (TRANSACTIONS, BLOBS)]
    slowly = ["--bytes-per-second", 8_000, "--set", "worker.batch_records_max=1"]
    command = backup.command("replay", "--to", to, "--json", *slowly)
    with Running(command, clean_environment(tmp_path), tmp_path / "replay.log") as running:
        done = running.wait_until(lambda: reached(running), "it had read something")
        running.kill()
    assert done < sum(end for of_topic in ends for end in of_topic.values())
    report = replay(backup, "--to", to)
    assert seen(to) == seen(backup.path)
    assert faults(to) == []
    assert [ends_of(fresh_kafka, topic) for topic in (TRANSACTIONS, BLOBS)] == ends
    assert committed(backup, fresh_kafka) == told

    replica = store(tmp_path / "replica", fresh_kafka)
    shutil.move(to, replica.path)
    findings = ["missing-blob", "conflicting-transaction"]
    with backup.service(findings=findings), replica.service(findings=findings) as copying:
        assert copying.status()["replica_of"] == report["replica_of"]
        line = {"account": "anna", "item": "new", "type": "document", "state": {"name": "new"}}
        backup.publish([line])
        copying.wait_until(lambda: {*map(has_new, (backup, replica))} == {True}, "both had it")
    assert backup.json("fingerprint", "--compare", replica.path)["equal"]


def has_new(backup: Backup) -> bool:
    return "new" in backup.reader().history("anna").items


def reached(running: Running) -> int:
    lines = [line for line in running.log.splitlines() if b'"replaying"' in line]
    return int(msgspec.json.decode(lines[-1])["done"]) if lines else 0


def test_a_lost_store_comes_back_with_its_content_from_a_replica(
    tmp_path: Path, backup: Backup, fresh_kafka: str
) -> None:
    """The topics have forgotten all content by then, and the store is lost whole."""
    record_all(backup)
    replica = tmp_path / "replica"
    replay(backup, "--to", replica)
    config, noted = backup.reader().config, seen(backup.path)
    content = named_by(backup.path) & set(LooseBlobs(backup.path).digests())
    shutil.rmtree(backup.path)
    forget(fresh_kafka, ends_of(fresh_kafka, BLOBS))

    without = replay(backup, "--to", tmp_path / "without")
    assert without["fingerprint"] == noted[0]
    assert without["blobs"]["stored"] == 0
    assert without["blobs"]["missing"] == len(content) + missing(noted)
    report = replay(backup, "--as-primary", "--to", backup.path, "--content-from", replica)
    assert report["content_taken"] == len(content)
    assert backup.reader().config == config
    assert seen(backup.path) == noted
    assert faults(backup.path) == []
    record_all(backup)
    assert seen(backup.path) == noted


def missing(noted: tuple[object, ...]) -> int:
    return int(msgspec.to_builtins(noted[1])["missing"])


def test_transactions_that_the_topics_forgot_are_a_gap_that_is_told(
    tmp_path: Path, backup: Backup, fresh_kafka: str
) -> None:
    forget(fresh_kafka, {TopicPartition(TRANSACTIONS, p): 2 for p in range(PARTITIONS)})
    report = replay(backup, "--to", tmp_path / "replay")
    assert report["gaps"] == PARTITIONS
    assert report["in_doubt"] == report["accounts"]
    assert faults(tmp_path / "replay") == []
