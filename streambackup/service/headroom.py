"""Whether topics keep what is not safe yet for long enough: asked of the bus, told as an alarm."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import structlog

from streambackup.bus.generations import describe_topics
from streambackup.bus.port import Bus, Record, TopicPartition
from streambackup.domain.headroom import Retention, Unsafe, headroom_hours
from streambackup.errors import AccessError, PositionLostError
from streambackup.events.config import Generation
from streambackup.runtime.metrics import Metrics

SAMPLE_RECORDS = 20
WITHOUT_LIMIT = -1

log = structlog.get_logger()


class Behind(NamedTuple):
    """A partition with records that are not safe yet: from *position* to *end*."""

    tp: TopicPartition
    position: int
    end: int


class Headroom(NamedTuple):
    """Hours by partition, where there is a limit; and, by topic, why they are not known."""

    hours: Mapping[TopicPartition, float]
    unknown: Mapping[str, str]


async def find_headroom(
    bus: Bus, generations: Sequence[Generation], behind: Sequence[Behind], *, now_ms: int
) -> Headroom:
    """Ask for the partitions that are *behind*; where the bus keeps what nobody read, none has.

    Raises:
        BusError: the bus cannot be asked.
    """
    if not behind:
        return Headroom({}, {})
    hours = {}
    unknown: dict[str, str] = {}
    kept = await _kept(bus, generations)
    for tp, position, end in behind:
        if tp.topic in unknown or tp.topic not in kept:
            continue
        try:
            sample = await bus.read(tp, position, records_max=SAMPLE_RECORDS)
        except PositionLostError:
            hours[tp] = 0.0
            continue
        except AccessError as refused:
            unknown[tp.topic] = f"headroom of {tp.topic} is not known: {refused.message}"
            continue
        found = _hours(kept[tp.topic], sample, end - position, now_ms)
        if found is not None:
            hours[tp] = found
    return Headroom(hours, unknown)


async def _kept(bus: Bus, generations: Sequence[Generation]) -> dict[str, Retention]:
    """What each topic of the generations keeps now, where that has a limit."""
    kept = {}
    described = [topic for one in generations for topic in await describe_topics(bus, one)]
    for topic in (topic for topic in described if topic.drops_unread):
        age_ms, size = (
            int(topic.settings.get(name, WITHOUT_LIMIT))
            for name in ("retention.ms", "retention.bytes")
        )
        limits = Retention(age_ms if age_ms >= 0 else None, size if size >= 0 else None)
        if limits != Retention(None, None):
            kept[topic.name] = limits
    return kept


def _hours(kept: Retention, sample: Sequence[Record], records: int, now_ms: int) -> float | None:
    if not sample:
        return None
    size = sum(len(record.key or b"") + len(record.value or b"") for record in sample)
    unsafe = Unsafe(records, size // len(sample), sample[0].timestamp)
    return headroom_hours(kept, unsafe, now_ms)


class HeadroomAlarm:
    """Tells, once for each time, that a partition has less than *warning_hours*."""

    def __init__(self, warning_hours: float, metrics: Metrics) -> None:
        self._warning_hours = warning_hours
        self._metrics = metrics
        self._low: set[TopicPartition] = set()

    def tell(self, partitions: Sequence[TopicPartition], found: Headroom) -> None:
        """Take the hours of all *partitions* that there are; those not *found* have no end."""
        low = set()
        for tp in partitions:
            if tp.topic in found.unknown:
                continue
            hours = found.hours.get(tp, math.inf)
            self._metrics.headroom.labels(tp.topic, str(tp.partition)).set(hours)
            if hours < self._warning_hours:
                low.add(tp)
        for tp in sorted(low - self._low):
            self._metrics.headroom_alarms.labels(tp.topic).inc()
            hours = round(found.hours[tp], 2)
            log.warning("headroom_low", topic=tp.topic, partition=tp.partition, hours=hours)
        for tp in sorted(self._low - low):
            log.info("headroom_restored", topic=tp.topic, partition=tp.partition)
        self._low = low
