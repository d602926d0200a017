"""A worker behind on topics that keep little: the service and ``status`` raise the alarm."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from tests.support.backup import Backup

pytestmark = [pytest.mark.scenario, pytest.mark.kafka, pytest.mark.timeout(120)]

TOPIC = "mailbox.transactions"
LINE = {"account": "a@example.org", "item": "n", "type": "document", "state": {"name": "n"}}
HOUR_MS = 3_600_000


async def keep(address: str, **limits: int) -> None:
    """Set what the topic keeps, as an operator might."""
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    configs = {name.replace("_", "."): str(value) for name, value in limits.items()}
    configs["cleanup.policy"] = "delete"
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, TOPIC, configs)])
    await admin.close()


async def test_hours_are_counted_while_the_topic_may_drop_what_is_not_recorded(
    tmp_path: Path, fresh_kafka: str
) -> None:
    settings = {"bus.kind": "kafka", "bus.kafka.bootstrap_servers": fresh_kafka}
    backup = Backup(tmp_path, settings=settings)
    backup.json("topic", "create", "--partitions", 1)
    backup.init()
    backup.publish([{**LINE, "state": {"name": str(n)}} for n in range(50)])

    kept_long = backup.json("status")
    await keep(fresh_kafka, retention_ms=10 * HOUR_MS)
    with backup.service("--role", "blob", findings={"unfiled-segment"}) as running:
        running.wait_until(lambda: running.events("headroom_low"), "the alarm was raised")
        low, metrics = running.status(), running.get("/metrics").decode()
    await keep(fresh_kafka, retention_ms=10 * HOUR_MS, retention_bytes=1)
    going = backup.json("status")
    await keep(fresh_kafka, retention_ms=-1)
    for_ever = backup.json("status")

    assert 300 < kept_long["headroom_hours"] <= 336
    assert not any("may drop" in warning for warning in kept_long["warnings"])
    assert 9 < low["headroom_hours"] <= 10
    assert any(f"may drop records of {TOPIC}/0" in warning for warning in low["warnings"])
    assert f'streambackup_headroom_alarms_total{{topic="{TOPIC}"}} 1.0' in metrics
    (hours,) = [
        line
        for line in metrics.splitlines()
        if f'headroom_hours{{partition="0",topic="{TOPIC}"' in line
    ]
    assert 9 < float(hours.split()[1]) <= 10
    assert going["headroom_hours"] == 0
    assert for_ever["headroom_hours"] is None
