"""What was set aside: every record that could not be used, each once, with its reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from streambackup.domain.origin import Origin
from streambackup.domain.partition_event import PartitionEvent, PartitionEventKind
from streambackup.errors import InvalidEventError
from streambackup.events.topics import BLOBS, TRANSACTIONS
from streambackup.journal.admission import Admission
from streambackup.journal.frame import FrameKind
from streambackup.journal.life import Life, read_lives
from streambackup.journal.line import clusters_and_holes, records_in
from streambackup.journal.mark import farthest_mark
from streambackup.journal.payload import Blobs, Quarantined, decode_payload
from streambackup.journal.place import Place, place_in
from streambackup.journal.segment import PartitionPath
from streambackup.journal.union import frames_of, open_segment, open_segments
from streambackup.reading.partition_log import filed_events

MOVED_ASIDE = "quarantine"
"""The directory of damaged files, in the backup path."""


class SetAside(msgspec.Struct, frozen=True):
    """A record that could not be used, whole, and why."""

    origin: Origin
    published_ms: int
    reason: str
    key: bytes | None
    value: bytes | None

    @property
    def named(self) -> str | None:
        """What the key says: of a transaction the account, of content the digest."""
        return None if self.key is None else self.key.decode("utf-8", "replace")

    @property
    def account(self) -> str | None:
        return self.named if self.origin.topic == TRANSACTIONS else None

    @property
    def size(self) -> int:
        return len(self.value or b"")


def set_aside_records(root: Path) -> Iterator[SetAside]:
    """Every record set aside in the store, of each partition one after the other, each once: what
    another epoch filed again is one with what the first did.
    """
    for life in read_lives(root):
        for partition in range(life.partitions):
            yield from set_aside_in(root, life, TRANSACTIONS, partition)
        for partition in range(life.blob_partitions):
            yield from set_aside_in(root, life, BLOBS, partition)


def set_aside_in(root: Path, life: Life, topic: str, partition: int) -> Iterator[SetAside]:
    """Those of one partition of *life*, each once."""
    path = PartitionPath(root, life.generation, topic, partition)
    if topic == TRANSACTIONS:
        return _each_once(_of_transactions(path, place_in(life, partition)))
    return _each_once(_of_blobs(path))


def moved_aside(root: Path) -> list[Path]:
    """The damaged files that were moved out of the way, by name."""
    return sorted(path for path in (root / MOVED_ASIDE).rglob("*") if path.is_file())


def of_event(topic: str, event: PartitionEvent) -> SetAside:
    """A record in quarantine as the partition log of *topic* has it."""
    origin = Origin.of(topic, event.position)
    return SetAside(origin, event.time_ms, event.reason, event.key, event.value)


def of_blobs(path: PartitionPath, aside: Quarantined) -> SetAside:
    """A record in quarantine as a frame of a blob journal has it."""
    origin = Origin.of(path.topic, path.position(aside.offset))
    return SetAside(origin, aside.published_ms, aside.reason, aside.key, aside.value)


def _each_once(found: Iterable[SetAside]) -> Iterator[SetAside]:
    seen = set[int]()
    for one in found:
        if one.origin.offset not in seen:
            seen.add(one.origin.offset)
            yield one


def _of_transactions(path: PartitionPath, where: Place) -> Iterator[SetAside]:
    """Filed ones first. The tail is opened before: what is filed meanwhile is met twice."""
    floor = farthest_mark(path).filed_to
    segments = open_segments(path, floor)
    for event in filed_events(path):
        if event.kind is PartitionEventKind.QUARANTINE:
            yield of_event(path.topic, event)
    admission = Admission(where)
    for _, cluster in clusters_and_holes(path, segments, floor, []):
        for offset, published_ms, key, value in records_in(cluster, floor).rows():
            try:
                admission.event_of(key, value)
            except InvalidEventError as error:
                aside = admission.set_aside(offset, published_ms, key, value, str(error))
                yield of_event(path.topic, aside)


def _of_blobs(path: PartitionPath) -> Iterator[SetAside]:
    for name in path.segments():
        for placed in frames_of(open_segment(path, name, is_last=True), []):
            if placed.frame.kind is FrameKind.BLOBS:
                blobs = decode_payload(placed.frame.payload, Blobs)
                yield from (of_blobs(path, aside) for aside in blobs.quarantined)
