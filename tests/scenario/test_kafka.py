"""The same on a real broker: what is on the topics is what the store holds, no less and no more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from streambackup.journal.cover import find_cover
from streambackup.journal.segment import PartitionPath
from tests.support.backup import Backup

pytestmark = [pytest.mark.scenario, pytest.mark.kafka, pytest.mark.timeout(180)]

ACCOUNTS = [f"user{number}@example.org" for number in range(20)]
ROUNDS = 10
T = 1_700_000_000_000


def lines(rounds: range) -> list[dict[str, Any]]:
    """One change of an item of every account in each round, and now and then new content."""
    return [
        {
            "account": account,
            "item": "note",
            "type": "document",
            "time_ms": T + 1000 * number,
            "state": {"name": "note", "modified_ms": number},
            "file": f"{number // 4}.txt",
        }
        for number in rounds
        for account in ACCOUNTS
    ]


FILES = {f"{number}.txt": b"content %d\n" % number for number in range(ROUNDS)}


async def offsets(address: str, group: str, topic: str) -> tuple[dict[int, int], dict[int, int]]:
    """The topic's end and the group's committed offset by partition, as Kafka itself says."""
    consumer = AIOKafkaConsumer(bootstrap_servers=address, group_id=group, enable_auto_commit=False)
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, p) for p in range(3)]
        ends = await consumer.end_offsets(partitions)
        done = {tp.partition: await consumer.committed(tp) or 0 for tp in partitions}
    finally:
        await consumer.stop()
    return {tp.partition: end for tp, end in ends.items()}, done


@pytest.mark.row("M1", part="journal positions equal end offsets")
async def test_every_event_has_one_effect_and_positions_equal_end_offsets(
    tmp_path: Path, fresh_kafka: str
) -> None:
    """With the service killed between two halves of the events."""
    settings = {"bus.kind": "kafka", "bus.kafka.bootstrap_servers": fresh_kafka}
    backup = Backup(tmp_path / "backup", settings=settings)
    created = backup.json("topic", "create", "--partitions", 3)
    store = backup.init().reader().config.store
    with backup.service() as running:
        backup.publish(lines(range(ROUNDS // 2)), files=FILES)
        running.kill()
    backup.publish(lines(range(ROUNDS // 2, ROUNDS)), files=FILES)
    with backup.service() as running:
        running.wait_until_caught_up()

    reader = backup.reader()
    histories = [reader.history(account) for account in ACCOUNTS]
    states = [[s.state for s in history.items["note"].states] for history in histories]
    assert states == [[{"name": "note", "modified_ms": n} for n in range(ROUNDS)]] * len(ACCOUNTS)
    assert [history.doubts for history in histories] == [()] * len(ACCOUNTS)
    for topic in ("mailbox.transactions", "mailbox.blobs"):
        group = f"streambackup.{store}.{topic.rpartition('.')[2]}"
        ends, committed = await offsets(fresh_kafka, group, topic)
        paths = (PartitionPath(backup.path, created["generation"], topic, p) for p in range(3))
        assert {path.partition: find_cover(path).end for path in paths} == ends == committed
