"""Of what was set aside others are told, by the primary alone, whatever happens to its service."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from streambackup.bus.embedded.bus import EmbeddedBus
from streambackup.bus.kafka import KafkaBus, KafkaSettings
from streambackup.bus.port import Bus, Outgoing
from streambackup.events.notice import Notice
from streambackup.events.topics import QUARANTINE, TRANSACTIONS
from streambackup.runtime.clock import SystemClock
from streambackup.service.store_home import node_id
from tests.support.backup import Backup
from tests.support.running import Running

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(180)]

ANN = "ann@example.org"
JUNK = Outgoing(TRANSACTIONS, ANN.encode(), b"junk")
LINE = {"account": ANN, "item": "1", "type": "document", "state": {"name": "n"}}


async def notices_on(bus: Bus) -> list[tuple[bytes | None, Notice]]:
    """All on the topic, with their keys."""
    found = []
    for tp, bounds in (await bus.bounds([QUARANTINE])).items():
        for record in await bus.read(tp, bounds.begin, records_max=1000):
            found.append((record.key, _notice(record.value)))
    await bus.close()
    return found


def embedded_notices(backup: Backup) -> list[tuple[bytes | None, Notice]]:
    bus = EmbeddedBus(backup.path / "state" / node_id() / "bus", clock=SystemClock())
    return asyncio.run(notices_on(bus))


def _notice(value: bytes | None) -> Notice:
    return msgspec.json.decode(value or b"", type=Notice)


def wait_for_notices(running: Running, backup: Backup, count: int) -> None:
    """So many, at least, of different records."""
    running.wait_until(
        lambda: len({notice.id for _, notice in embedded_notices(backup)}) >= count, "they came"
    )


def test_every_record_has_its_notice_though_the_service_is_killed(tmp_path: Path) -> None:
    backup = Backup(tmp_path / "b").init()
    for round_ in range(3):
        with backup.service() as running:
            backup.publish_raw([JUNK] * 20)
            wait_for_notices(running, backup, 20 * round_ + (1 if round_ < 2 else 20))
            if round_ < 2:
                running.kill()
    found = embedded_notices(backup)
    rows = backup.json("quarantine", "list")

    assert {key for key, _ in found} == {ANN.encode()}
    assert {notice.id for _, notice in found} == {row["id"] for row in rows}
    assert {(n.id, n.reason, n.size) for _, n in found} == {
        (row["id"], row["reason"], row["size"]) for row in rows
    }


async def kafka_notices(address: str) -> list[Notice]:
    bus = KafkaBus(KafkaSettings(bootstrap_servers=address), clock=SystemClock())
    return [notice for _, notice in await notices_on(bus)]


async def publish_junk(address: str) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=address)
    await producer.start()
    await producer.send_and_wait(TRANSACTIONS, b"junk", key=ANN.encode())
    await producer.stop()


def on_kafka(root: Path, address: str) -> Backup:
    return Backup(root, settings={"bus.kind": "kafka", "bus.kafka.bootstrap_servers": address})


def wait_until_set_aside(running: Running, waiting: int) -> None:
    running.wait_until(
        lambda: (
            (found := running.status())["quarantined"] == 1 and found["notices_waiting"] == waiting
        ),
        "it was set aside",
    )


@pytest.mark.kafka
async def test_a_replica_publishes_none(tmp_path: Path, fresh_kafka: str) -> None:
    primary, replica = (on_kafka(tmp_path / name, fresh_kafka) for name in ("primary", "replica"))
    primary.ask("topic", "create", "--partitions", 2)
    primary.init()
    replica.init()
    await publish_junk(fresh_kafka)
    with replica.service() as running:
        wait_until_set_aside(running, waiting=0)
        before = await kafka_notices(fresh_kafka)
    with primary.service() as running:
        wait_until_set_aside(running, waiting=0)

    assert before == []
    assert Counter(n.topic for n in await kafka_notices(fresh_kafka)) == {TRANSACTIONS: 1}


@pytest.mark.kafka
async def test_where_the_topic_cannot_be_written_they_wait_and_nothing_else_does(
    tmp_path: Path, fresh_kafka: str
) -> None:
    backup = on_kafka(tmp_path / "b", fresh_kafka)
    backup.ask("topic", "create", "--partitions", 2)
    backup.init()
    admin = AIOKafkaAdminClient(bootstrap_servers=fresh_kafka)
    await admin.start()
    await admin.delete_topics([QUARANTINE])
    await admin.close()
    with backup.service() as running:
        await publish_junk(fresh_kafka)
        wait_until_set_aside(running, waiting=1)
        backup.publish([LINE])
        running.wait_until(lambda: "1" in backup.reader().examine(ANN).items, "the next came")
        waiting = running.wait_until(
            lambda: [w for w in running.status()["warnings"] if "set aside wait" in w], "it told"
        )
        backup.ask("topic", "create", "--partitions", 2)
        wait_until_set_aside(running, waiting=0)

    assert "mailbox.quarantine" in waiting[0]
    assert len(await kafka_notices(fresh_kafka)) == 1
