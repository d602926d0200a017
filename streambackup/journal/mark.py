"""Filed marks: how far a partition's journal is in the account logs.

An epoch's mark is *closed* before its log files are merged into another and unlinked: by a rename,
so that exactly what it said at that instant counts from then on. What the epoch marks later may be
of lines that it wrote into an unlinked file.
"""

from __future__ import annotations

import contextlib
import re
from collections import defaultdict
from pathlib import Path

import msgspec

from streambackup.domain.crc import crc32c
from streambackup.journal.cover import Cover
from streambackup.journal.frame import LastRecord
from streambackup.journal.segment import EpochName, PartitionPath
from streambackup.runtime.disk import Disk

_EPOCH = r"(\d{10})-([0-9a-f]{16})"
_NAME = re.compile(rf"^{_EPOCH}\.filed$")
_CLOSED = re.compile(rf"^{_EPOCH}\.\d{{10}}-[0-9a-f]{{16}}\.closed$")


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


def close_marks(path: PartitionPath, closer: EpochName, disk: Disk) -> set[EpochName]:
    """Let no later mark count of any epoch with a number below *closer*'s; durable on return.

    Returns the epochs that are closed. To repeat it, or to do it beside another owner, changes
    nothing: of several closed marks of an epoch the one that says least counts.
    """
    closed = {epoch for epoch, _ in _closed_files(path)}
    for epoch, file in mark_files(path):
        if epoch.number < closer.number and epoch not in closed:
            with contextlib.suppress(FileNotFoundError):  # Another owner was there first.
                disk.rename(file, path.directory / f"{epoch}.{closer}.closed")
            closed.add(epoch)
    disk.sync_directory(path.directory)  # Whoever closed them may not have lived to sync it.
    return closed


def mark_files(path: PartitionPath) -> list[tuple[EpochName, Path]]:
    """Every epoch's mark file in the partition; those that were closed are not among them."""
    return _files(path, _NAME)


def _closed_files(path: PartitionPath) -> list[tuple[EpochName, Path]]:
    return _files(path, _CLOSED)


def _files(path: PartitionPath, pattern: re.Pattern[str]) -> list[tuple[EpochName, Path]]:
    try:
        files = sorted(path.directory.iterdir())
    except FileNotFoundError:
        return []
    return [
        (EpochName(int(found[1]), found[2]), file)
        for file in files
        if (found := pattern.match(file.name)) is not None
    ]


def marked_epochs(path: PartitionPath) -> set[EpochName]:
    """The epochs that filed in the partition, or were about to."""
    # The closed ones last: a mark that is closed meanwhile is met twice, never missed.
    return {epoch for files in (mark_files(path), _closed_files(path)) for epoch, _ in files}


def damaged_marks(path: PartitionPath) -> list[Path]:
    """The files of marks that fail their check."""
    files = [file for _, file in (*mark_files(path), *_closed_files(path))]
    return [file for file in files if read_mark(file) is None and file.exists()]


def read_mark(file: Path) -> FiledMark | None:
    """The mark in *file*; None where it fails its check (filing it again is harmless)."""
    try:
        mark = msgspec.json.decode(file.read_bytes(), type=FiledMark)
    except (msgspec.MsgspecError, UnicodeDecodeError, FileNotFoundError):
        return None
    return mark if mark.check == mark.checksum() else None


def farthest_mark(path: PartitionPath) -> FiledMark:
    """The mark that says most, of any epoch. From one call to the next it never says less."""
    marks = {epoch: read_mark(file) for epoch, file in mark_files(path)}
    # Looked for behind them: a mark that does not count was written after its epoch was closed.
    marks |= _closed_marks(path)
    counting = [mark for mark in marks.values() if mark is not None]
    return max(counting, key=lambda mark: mark.filed_to, default=NOTHING_FILED)


def _closed_marks(path: PartitionPath) -> dict[EpochName, FiledMark]:
    """What counts of the closed epochs; nothing where that cannot be read."""
    closed = defaultdict[EpochName, list[FiledMark]](list)
    for epoch, file in _closed_files(path):
        closed[epoch].append(read_mark(file) or NOTHING_FILED)
    return {epoch: min(marks, key=lambda mark: mark.filed_to) for epoch, marks in closed.items()}
