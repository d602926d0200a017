"""Filed marks: how far a partition's journal is in the account logs."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from streambackup.domain.crc import crc32c
from streambackup.journal.cover import Cover
from streambackup.journal.frame import LastRecord
from streambackup.journal.segment import EpochName, PartitionPath
from streambackup.runtime.disk import Disk

_NAME = re.compile(r"^(\d{10})-([0-9a-f]{16})\.filed$")


class FiledMark(msgspec.Struct, frozen=True):
    """Everything below ``filed_to`` of this partition stands in account logs and the partition log.

    ``last_crc`` and ``last_ms`` are of the record before it, for the owner that finds no segment
    any more. ``records`` counts those that are in the logs: offsets need not follow each other.
    """

    filed_to: int
    last_crc: int | None
    last_ms: int
    filed_at_ms: int
    records: int = 0
    check: int = 0

    def checksum(self) -> int:
        said = (self.filed_to, self.last_crc, self.last_ms, self.filed_at_ms, self.records)
        return crc32c(msgspec.json.encode(said))

    @property
    def cover(self) -> Cover:
        return Cover(self.filed_to, LastRecord(self.last_crc, self.last_ms))


NOTHING_FILED = FiledMark(0, None, 0, 0)


def encode_mark(mark: FiledMark) -> bytes:
    """What a mark's file holds."""
    return msgspec.json.encode(msgspec.structs.replace(mark, check=mark.checksum()))


def write_mark(path: PartitionPath, epoch: EpochName, mark: FiledMark, disk: Disk) -> None:
    """Durable on return; all of it or none."""
    disk.replace(path.directory / f"{epoch}.filed", encode_mark(mark))


def mark_files(path: PartitionPath) -> list[tuple[EpochName, Path]]:
    """Every epoch's mark file in the partition."""
    try:
        files = sorted(path.directory.iterdir())
    except FileNotFoundError:
        return []
    return [
        (EpochName(int(found[1]), found[2]), file)
        for file in files
        if (found := _NAME.match(file.name)) is not None
    ]


def read_mark(file: Path) -> FiledMark | None:
    """The mark in *file*; None where it fails its check (filing it again is harmless)."""
    try:
        mark = msgspec.json.decode(file.read_bytes(), type=FiledMark)
    except (msgspec.MsgspecError, UnicodeDecodeError, FileNotFoundError):
        return None
    return mark if mark.check == mark.checksum() else None


def farthest_mark(path: PartitionPath) -> FiledMark:
    """The mark that says most, of any epoch."""
    marks = [mark for _, file in mark_files(path) if (mark := read_mark(file)) is not None]
    return max(marks, key=lambda mark: mark.filed_to, default=NOTHING_FILED)
