"""Segments: the files of a partition's journal, one sequence of them per epoch,
written by nobody else.
"""

from __future__ import annotations

import re
import secrets
from pathlib import Path
from typing import NamedTuple

from streambackup.domain.transaction import Position
from streambackup.errors import NoSpaceError, StoreError
from streambackup.journal.frame import FILE_MAGIC, FrameKind, LastRecord, encode_frame
from streambackup.journal.payload import EpochOpened, encode_payload
from streambackup.runtime.disk import AppendFile, Disk

_NAME = re.compile(r"^(\d{10})-([0-9a-f]{16})-(\d{20})\.journal$")


class EpochName(NamedTuple):
    """One owner's turn at a partition. The random writer makes two owners of one number differ."""

    number: int
    writer: str

    def __str__(self) -> str:
        return f"{self.number:010d}-{self.writer}"

    @classmethod
    def draw(cls, number: int) -> EpochName:
        return cls(number, secrets.token_hex(8))


class SegmentName(NamedTuple):
    """What a segment's file name says: its epoch and the first offset its frames may cover."""

    epoch: EpochName
    first: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.first:020d}.journal"

    @classmethod
    def parse(cls, name: str) -> SegmentName | None:
        found = _NAME.match(name)
        if found is None:
            return None
        return cls(EpochName(int(found[1]), found[2]), int(found[3]))


class PartitionPath(NamedTuple):
    """Where a partition's journal lives: ``journal/<generation>/<topic>/<partition>``."""

    root: Path
    generation: str
    topic: str
    partition: int

    @property
    def directory(self) -> Path:
        return self.root / "journal" / self.generation / self.topic / str(self.partition)

    @property
    def quarantine(self) -> PartitionPath:
        """Where its damaged segments are moved, under the names they had."""
        return self._replace(root=self.root / "quarantine")

    def position(self, offset: int) -> Position:
        return Position(self.generation, self.partition, offset)

    def segments(self) -> list[SegmentName]:
        """All segments there are, in name order; a directory not made yet has none."""
        try:
            names = sorted(path.name for path in self.directory.iterdir())
        except FileNotFoundError:
            return []
        return [segment for name in names if (segment := SegmentName.parse(name)) is not None]

    def path_of(self, segment: SegmentName) -> Path:
        return self.directory / str(segment)


class SegmentWriter:
    """Appends frames to the segments of one epoch of one partition.

    Blocking; one thread at a time.
    """

    def __init__(self, path: PartitionPath, disk: Disk, opened: EpochOpened) -> None:
        self._path = path
        self._disk = disk
        self._opened = opened
        self._file: AppendFile | None = None
        self._size = 0
        self._synced = 0
        self._unsynced = False
        self._sealed: SegmentName | None = None
        self.name: SegmentName | None = None

    @property
    def epoch(self) -> EpochName:
        return EpochName(self._opened.epoch, self._opened.writer)

    @property
    def size(self) -> int:
        """Bytes in the open segment; 0 where none is open."""
        return self._size

    def append(self, frames: list[bytes], first: int, before: LastRecord) -> None:
        """Append *frames*, the first of which begins at offset *first*, and make them durable.

        Opens a segment where none is open; *before* is the last record before *first*.

        Raises:
            NoSpaceError: any part of them that a sync did not fail for may be in the file; this
            epoch is over.
            StoreError: writing or syncing failed; the process has to end.
        """
        try:
            file = self._file or self._open(first, before)
            data = frames[0] if len(frames) == 1 else b"".join(frames)
            file.write(data)
            self._size += len(data)
            self._sync(file)
            if self._unsynced:
                self._disk.secure_directories(self._path.directory, self._path.root)
                self._unsynced = False
        except NoSpaceError:
            self.seal()
            raise

    def _sync(self, file: AppendFile) -> None:
        """Sync the open segment, or cut it back to what was synced.

        The pages of a sync that failed stay in memory, where a successor would find them, sync them
        with success and stand on them, though no disk has them.
        """
        try:
            file.sync()
        except StoreError:
            try:
                file.cut(self._synced)
            except NoSpaceError as error:
                raise StoreError(f"{file.path}: what was not synced cannot be cut off") from error
            raise
        self._synced = self._size

    def _open(self, first: int, before: LastRecord) -> AppendFile:
        """Open the next segment; one that would have the same name,
        as nothing was covered since it was sealed, goes on.
        """
        name = SegmentName(self.epoch, first)
        path = self._path.path_of(name)
        self._disk.make_directories(self._path.directory)
        if name == self._sealed:
            self.name, self._file = name, self._disk.append(path)
            self._size = self._synced = path.stat().st_size
            return self._file
        file = self._disk.create(path)
        head = encode_frame(
            FrameKind.EPOCH,
            self._path.generation,
            first,
            first,
            before,
            encode_payload(self._opened),
        )
        try:
            file.write(FILE_MAGIC + head)
        except NoSpaceError:
            # Nobody can have taken over anything from it, and while the disk is full there would be
            # another one with every attempt. One that was given a frame is never taken away: a
            # successor may stand on that.
            file.close()
            self._disk.unlink(path)
            raise
        self.name, self._file, self._unsynced = name, file, True
        self._size, self._synced = len(FILE_MAGIC) + len(head), 0
        return file

    def seal(self) -> SegmentName | None:
        """Close the open segment; what comes next goes into a new one.

        Returns its name, if one was open.
        """
        if self._file is None:
            return None
        self._file.close()
        self._file, self._size = None, 0
        self._sealed, self.name = self.name, None
        return self._sealed
