"""What is set aside in a partition while its owner works on it: each look goes on where the one
before, once that was said to be done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from streambackup.domain.partition_event import PartitionEventKind
from streambackup.events.topics import BLOBS
from streambackup.journal.file_view import FileView
from streambackup.journal.frame import (
    FILE_MAGIC,
    HEADER_BYTES,
    Bytes,
    Damage,
    FrameKind,
    decode_frames,
)
from streambackup.journal.payload import Blobs, decode_payload
from streambackup.journal.segment import PartitionPath, SegmentName
from streambackup.journal.union import needed
from streambackup.reading.partition_log import events_from, partition_logs
from streambackup.reading.set_aside import SetAside, of_blobs, of_event


class Look:
    """What a look found, and how far it came. ``reached`` is an offset below which nothing else was
    set aside.
    """

    def __init__(self, read: Mapping[Path, int], reached: int) -> None:
        self.found: list[SetAside] = []
        self.read = dict(read)
        self.reached = reached


class FreshAside:
    """Follows a partition log or a blob journal; all below offset *floor* is known already. Its
    owner has *open_segment* open.

    Blocking; nothing is kept but how far each file was read.
    """

    def __init__(
        self, path: PartitionPath, floor: int, open_segment: Callable[[], SegmentName | None]
    ) -> None:
        self._path = path
        self._floor = floor
        self._open_segment = open_segment
        self._segments: list[SegmentName] | None = None
        self._read: dict[Path, int] = {}
        self.reached = floor

    def look(self, records_max: int, bytes_max: int) -> Look:
        """At most about so much of what is new."""
        look = Look(self._read, self.reached)
        follow = self._blobs if self._path.topic == BLOBS else self._transactions
        room = bytes_max
        for records in follow(look):
            look.found += records
            room -= sum(record.size for record in records)
            if room <= 0 or len(look.found) >= records_max:
                break
        return look

    def done(self, look: Look) -> None:
        """Go on behind *look*."""
        self._read, self.reached = look.read, look.reached

    def _transactions(self, look: Look) -> Iterator[list[SetAside]]:
        for file in partition_logs(self._path):
            if file.stat().st_size <= look.read.get(file, 0):
                continue
            for event, following in events_from(file, look.read.get(file, 0)):
                look.read[file] = following
                if event.kind is PartitionEventKind.QUARANTINE:
                    look.reached = max(look.reached, event.end)
                    if event.position.offset >= self._floor:
                        yield [of_event(self._path.topic, event)]

    def _blobs(self, look: Look) -> Iterator[list[SetAside]]:
        """An unfinished upload holds a frame's position, but not what the frame says: so whatever
        reaches the floor is looked at, and may be found again.
        """
        for name in self._listed():
            file = self._path.path_of(name)
            begun = look.read.get(file, len(FILE_MAGIC))
            if file.stat().st_size <= begun:
                continue
            frames = decode_frames(
                _Behind(FileView(file), begun), self._path.generation, name.first
            )
            for at, frame in frames:
                if isinstance(frame, Damage):
                    continue
                look.read[file] = begun + at + HEADER_BYTES + len(frame.payload)
                look.reached = max(look.reached, frame.next)
                if frame.kind is FrameKind.BLOBS and frame.next >= self._floor:
                    blobs = decode_payload(frame.payload, Blobs)
                    yield [of_blobs(self._path, aside) for aside in blobs.quarantined]

    def _listed(self) -> list[SegmentName]:
        """The segments that may hold more. Blob journals are kept for ever, so the directory is
        read only where another segment was opened.
        """
        newest = self._open_segment()
        if self._segments is None or (newest is not None and newest not in self._segments):
            self._segments = needed(self._path.segments(), max(0, self.reached - 1))
        return self._segments


class _Behind:
    """The bytes of *data* from *begin* on."""

    def __init__(self, data: Bytes, begin: int) -> None:
        self._data = data
        self._begin = begin

    def __len__(self) -> int:
        return len(self._data) - self._begin

    def __getitem__(self, part: slice, /) -> bytes:
        first, end, _ = part.indices(len(self))
        return self._data[first + self._begin : end + self._begin]
