"""The topics of one host in a folder. Everything here blocks and may be called from any thread."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from streambackup.bus.embedded.retention import Limits
from streambackup.bus.embedded.topic_file import SUFFIX, TopicFile, create_topic_file
from streambackup.bus.local_consumer import Found
from streambackup.bus.port import (
    Bounds,
    Outgoing,
    Placed,
    Record,
    TopicDescription,
    TopicPartition,
    TopicSpec,
    place,
)
from streambackup.bus.topics import (
    check_local_size,
    check_name,
    check_partitions,
    local_description,
    missing_topic,
)
from streambackup.errors import BusError, StoreBusyError
from streambackup.runtime.clock import Clock
from streambackup.runtime.disk import FILE_MODE, Disk, storage_errors

TIDY_INTERVAL_S = 10.0


class TopicFolder:
    """Opens topics as they are needed and keeps them open."""

    def __init__(self, path: Path, *, clock: Clock, limits: Limits) -> None:
        self._path = path
        self._clock = clock
        self._limits = limits
        self._opening = threading.Lock()
        self._files: dict[str, TopicFile] = {}
        self._tidy_at_s: dict[str, float] = {}
        self._closed = False

    def topic(self, name: str) -> TopicFile:
        with self._opening:
            if self._closed:
                raise BusError("the bus is closed")
            if name not in self._files:
                path = self._path / (check_name(name) + SUFFIX)
                if not path.exists():
                    raise missing_topic(name)
                self._files[name] = TopicFile(path, self._limits)
            return self._files[name]

    def paths(self, topics: Iterable[str]) -> list[Path]:
        return [self.topic(name).path for name in topics]

    def partition_counts(self, topics: Iterable[str]) -> dict[str, int]:
        return {name: self.topic(name).spec.partitions for name in topics}

    def publish(self, records: Sequence[Outgoing]) -> list[Placed]:
        """One transaction per topic, after every record has found its place."""
        placed_in = []
        indexes: dict[str, list[int]] = {}
        for index, record in enumerate(records):
            check_local_size(record)
            indexes.setdefault(record.topic, []).append(index)
            placed_in.append(place(record, self.topic(record.topic).spec.partitions))
        now_ms = self._clock.now_ms()
        places: dict[int, Placed] = {}
        for name, chosen in indexes.items():
            partitions = [placed_in[i] for i in chosen]
            pairs = [(records[i].key, records[i].value) for i in chosen]
            added = self.topic(name).append(partitions, pairs, now_ms)
            places.update(zip(chosen, added, strict=True))
        return [places[index] for index in range(len(records))]

    def look(self, wanted: Mapping[TopicPartition, int], records_max: int) -> Found:
        """What one topic hands out leaves less for the next."""
        records: dict[TopicPartition, Sequence[Record]] = {}
        lost = []
        for name, offsets in _by_topic(wanted).items():
            found = self.topic(name).look(offsets, records_max=records_max)
            records |= {TopicPartition(name, n): held for n, held in found.records.items()}
            lost += found.lost
            records_max -= sum(len(held) for held in found.records.values())
        return Found(records, lost)

    def read(self, tp: TopicPartition, offset: int, records_max: int) -> list[Record]:
        file = self.topic(tp.topic)
        records: list[Record] = []
        while True:
            wanted = {tp.partition: offset}
            found = file.look(wanted, records_max=records_max - len(records))
            for error in found.lost:
                raise error
            if not found.records:
                return records
            records += found.records[tp.partition]
            offset = records[-1].offset + 1

    def bounds(self, topics: Iterable[str]) -> dict[TopicPartition, Bounds]:
        return {
            TopicPartition(name, partition): bounds
            for name in topics
            for partition, bounds in self.topic(name).bounds().items()
        }

    def acknowledge(self, group: str, next_offsets: Mapping[TopicPartition, int]) -> None:
        """Note how far *group* is and, now and then, forget what nobody needs any more."""
        for name, offsets in _by_topic(next_offsets).items():
            file = self.topic(name)
            file.acknowledge(group, offsets)
            now_s = self._clock.monotonic_s()
            if now_s >= self._tidy_at_s.get(name, now_s) and not file.tidy(self._clock.now_ms()):
                self._tidy_at_s[name] = now_s + TIDY_INTERVAL_S

    def acknowledged(self, group: str) -> dict[TopicPartition, int]:
        return {
            TopicPartition(name, partition): offset
            for name in sorted(path.stem for path in self._path.glob(f"*{SUFFIX}"))
            for partition, offset in self.topic(name).acknowledged(group).items()
        }

    def create(self, specs: Collection[TopicSpec]) -> None:
        for spec in specs:
            check_name(spec.name)
        disk = Disk()
        disk.make_directories(self._path)
        lock = self._lock("create", fcntl.LOCK_EX)
        try:
            for spec in specs:
                if not (self._path / (spec.name + SUFFIX)).exists():
                    create_topic_file(self._path, spec, disk)
        finally:
            os.close(lock)
        for spec in specs:
            found = self.topic(spec.name).spec.partitions
            check_partitions(spec.name, found=found, wanted=spec.partitions)

    def describe(self, specs: Iterable[TopicSpec]) -> list[TopicDescription]:
        existing = [s for s in specs if (self._path / (check_name(s.name) + SUFFIX)).exists()]
        files = [self.topic(spec.name) for spec in existing]
        return [
            local_description(file.spec, spec, file.bounds())
            for file, spec in zip(files, existing, strict=True)
        ]

    def lock_group(self, group: str) -> int:
        """A descriptor; only its closing, or the end of the process, lets others have the group."""
        name = f"consumers-{quote(group, safe='')}"
        try:
            return self._lock(name, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreBusyError(
                f"another process reads {self._path} as {group}",
                hint="Stop that service first: the embedded bus serves one at a time.",
            ) from None

    def _lock(self, name: str, operation: int) -> int:
        path = self._path / f"{name}.lock"
        with storage_errors(path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, FILE_MODE)
        try:
            fcntl.flock(descriptor, operation)
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    def close(self) -> None:
        with self._opening:
            self._closed = True
            for file in self._files.values():
                file.close()
            self._files.clear()


def _by_topic(offsets: Mapping[TopicPartition, int]) -> dict[str, dict[int, int]]:
    found: dict[str, dict[int, int]] = {}
    for tp, offset in offsets.items():
        found.setdefault(tp.topic, {})[tp.partition] = offset
    return found
