"""The alarm for what the bus may drop: told once each time, counted, and taken back."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from pathlib import Path

import msgspec

from streambackup.bus.embedded import EmbeddedBus, Limits
from streambackup.bus.port import Outgoing, TopicPartition
from streambackup.events.topics import TRANSACTIONS
from streambackup.runtime.logs import configure_logs
from streambackup.runtime.metrics import Metrics
from streambackup.service.generations import create_topics
from streambackup.service.headroom import Behind, Headroom, HeadroomAlarm, find_headroom
from tests.support.manual_clock import ManualClock

ZERO, ONE = TopicPartition(TRANSACTIONS, 0), TopicPartition(TRANSACTIONS, 1)
MONTH_MS = 30 * 24 * 3_600_000


def tell(alarm: HeadroomAlarm, hours: Mapping[TopicPartition, float]) -> None:
    alarm.tell([ZERO, ONE], Headroom(hours, {}))


def test_an_alarm_is_told_once_each_time_it_gets_low() -> None:
    stream, metrics = io.StringIO(), Metrics()
    configure_logs("info", "json", stream)
    alarm = HeadroomAlarm(48.0, metrics)

    for hours in ({ZERO: 90.0, ONE: 47.0}, {ONE: 46.0}, {}, {ZERO: 1.0}):
        tell(alarm, hours)

    told = [msgspec.json.decode(line) for line in stream.getvalue().splitlines()]
    assert [(line["event"], line["partition"], line.get("hours")) for line in told] == [
        ("headroom_low", 1, 47.0),
        ("headroom_restored", 1, None),
        ("headroom_low", 0, 1.0),
    ]
    assert metrics.headroom_alarms.labels(TRANSACTIONS)._value.get() == 2


def test_the_hours_are_a_metric_of_every_partition() -> None:
    metrics = Metrics()

    tell(HeadroomAlarm(48.0, metrics), {ONE: 100.0})

    shown = [metrics.headroom.labels(TRANSACTIONS, number)._value.get() for number in "01"]
    assert shown == [math.inf, 100.0]


def test_what_is_not_known_is_no_metric() -> None:
    metrics = Metrics()

    alarm = HeadroomAlarm(48.0, metrics)
    alarm.tell([ZERO, ONE], Headroom({}, {TRANSACTIONS: "we may not read it"}))

    assert b"headroom_hours{" not in metrics.exposition()


async def test_the_embedded_bus_drops_nothing_that_is_not_safe(tmp_path: Path) -> None:
    """However old and much it is: two days and 2 GiB are for what every group has passed."""
    clock = ManualClock()
    bus = EmbeddedBus(tmp_path, clock=clock, limits=Limits(bytes_max=1_000_000))
    generation, _ = await create_topics(bus, 1, clock)
    producer = await bus.producer()
    for _ in range(5):
        await producer.publish([Outgoing(TRANSACTIONS, b"k", bytes(500_000), 0)])
    clock.advance(ms=MONTH_MS)
    (bounds,) = (await bus.bounds([TRANSACTIONS])).values()

    behind = [Behind(ZERO, bounds.begin, bounds.end)]
    found = await find_headroom(bus, [generation], behind, now_ms=clock.now_ms())

    assert bounds == (0, 6)
    assert (found.hours, found.unknown) == ({}, {})
    await producer.close()
    await bus.close()
