"""Rules about topics that hold on every bus."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from streambackup.bus.port import (
    Bounds,
    Outgoing,
    Record,
    TopicDescription,
    TopicPartition,
    TopicSpec,
)
from streambackup.errors import TopicError

LOCAL_RECORD_BYTES_MAX = 16 * 1024 * 1024  # on a bus without brokers, who set their own limit

_NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}")  # Kafka's own rule


def check_name(topic: str) -> str:
    """*topic*, if it may be the name of one.

    Raises:
        TopicError: it may not.
    """
    if not _NAME.fullmatch(topic) or topic in {".", ".."}:
        raise TopicError(
            f"{topic[:80]!r} cannot be the name of a topic",
            hint="Up to 249 letters of a-z, A-Z, 0-9, '.', '_' and '-'.",
        )
    return topic


def missing_topic(topic: str) -> TopicError:
    return TopicError(f"topic {topic} does not exist", hint="Create it: streambackup topic create")


def check_partitions(topic: str, *, found: int, wanted: int) -> None:
    """Raises TopicError if an existing topic has another number of partitions than it shall."""
    if found != wanted:
        raise TopicError(
            f"topic {topic} exists with {found} partitions, not {wanted}",
            hint="A topic is never resized; for more partitions: streambackup topic grow",
        )


def check_local_size(record: Outgoing) -> None:
    """Raises TopicError if *record* is larger than a bus without brokers takes."""
    size = len(record.key or b"") + len(record.value or b"")
    if size > LOCAL_RECORD_BYTES_MAX:
        raise TopicError(
            f"a record of {size} bytes is more than {record.topic} takes ({LOCAL_RECORD_BYTES_MAX})"
        )


def local_description(
    found: TopicSpec, wanted: TopicSpec, bounds: Mapping[int, Bounds]
) -> TopicDescription:
    """A topic of a bus without brokers."""
    faults = []
    if found.partitions != wanted.partitions:
        faults.append(f"it has {found.partitions} partitions, not {wanted.partitions}")
    if found.compacted and not wanted.compacted:
        faults.append("it is compacted: of each key only the newest record is kept")
    if wanted.compacted and not found.compacted:
        faults.append("it is not compacted: keys that nobody writes are forgotten")
    settings = {
        "cleanup.policy": "compact" if found.compacted else "delete",
        "retention.ms": str(found.retention_ms),
    }
    return TopicDescription(
        name=found.name,
        partitions=found.partitions,
        replicas=1,
        settings=settings,
        bounds=dict(bounds),
        faults=faults,
    )


def co_partitioned(counts: Mapping[str, int]) -> list[TopicPartition]:
    """The partitions of topics that are consumed together.

    Raises:
        TopicError: their numbers of partitions differ.
    """
    if len(set(counts.values())) > 1:
        found = ", ".join(f"{topic}: {count}" for topic, count in counts.items())
        raise TopicError(f"topics consumed together differ in partitions ({found})")
    return [
        TopicPartition(topic, partition)
        for topic, count in counts.items()
        for partition in range(count)
    ]


def newest(records: Iterable[Record]) -> dict[bytes, bytes]:
    """The newest value per key; a tombstone takes its key away."""
    values: dict[bytes, bytes] = {}
    for record in records:
        if record.key is None:
            continue
        if record.value is None:
            values.pop(record.key, None)
        else:
            values[record.key] = record.value
    return values
