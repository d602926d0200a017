"""An owner's turn at a partition: what it took over, and what it appends.

Blocking; called from one thread at a time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import msgspec

from streambackup.journal.cover import Cover, cover_and_segments, highest_epoch
from streambackup.journal.frame import FrameKind, LastRecord, encode_frame
from streambackup.journal.mark import FiledMark, farthest_mark, marked_epochs
from streambackup.journal.payload import EpochOpened, Gap, encode_payload
from streambackup.journal.segment import EpochName, PartitionPath, SegmentName, SegmentWriter
from streambackup.runtime.disk import Disk


class StoreIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """Who writes, and the settings in effect: fixed by ``init`` for the life of the store."""

    store: str
    node: str
    moment_ms: int
    ignored_attributes: tuple[str, ...]


class PartitionOwner:
    """One epoch of one partition, named by *draw*. Opens no file before the first append."""

    def __init__(
        self,
        path: PartitionPath,
        disk: Disk,
        identity: StoreIdentity,
        epoch: int,
        cover: Cover,
        draw: Callable[[int], EpochName] = EpochName.draw,
    ) -> None:
        self.path = path
        self.epoch = draw(epoch)
        self.position = cover.end
        self.last = cover.last
        opened = EpochOpened(
            identity.store,
            self.epoch.number,
            self.epoch.writer,
            identity.node,
            identity.moment_ms,
            identity.ignored_attributes,
        )
        self._writer = SegmentWriter(path, disk, opened)

    @property
    def segment_bytes(self) -> int:
        return self._writer.size

    @property
    def segment(self) -> SegmentName | None:
        """The open segment's name."""
        return self._writer.name

    def append(self, kind: FrameKind, payload: bytes, next_offset: int, last: LastRecord) -> None:
        """Append a frame from the position to *next_offset*; durable on return, and the position
        moved.

        Raises NoSpaceError (this epoch is over, take over again) and StoreError (the process has to
        end).
        """
        generation = self.path.generation
        frame = encode_frame(kind, generation, self.position, next_offset, last, payload)
        self._writer.append([frame], self.position, self.last)
        self.position, self.last = next_offset, last

    def append_gap(self, end: int, reason: str, now_ms: int) -> None:
        """Record that what stood from the position to *end* cannot be read any more."""
        payload = encode_payload(Gap(reason, now_ms))
        self.append(FrameKind.GAP, payload, end, LastRecord(None, now_ms))

    def seal(self) -> SegmentName | None:
        """Close the open segment, so that it can be filed and later deleted."""
        return self._writer.seal()


def inherit(path: PartitionPath, disk: Disk) -> tuple[Cover, int, FiledMark]:
    """What a new owner finds: the unbroken cover, the number of its epoch, and how far was filed.

    Files taken over, and their directories, are durable on return: the owner's first frame may
    stand on them. Those that the owner before stood on are so since then.
    """
    mark = farthest_mark(path)
    # Looked for first: what a predecessor that still writes appends after the sync is not covered.
    cover, segments = cover_and_segments(path, mark.cover)
    if path.directory.exists():
        for segment in segments:
            with contextlib.suppress(FileNotFoundError):  # Filed and deleted by another owner.
                disk.sync_file(segment.path)
        disk.secure_directories(path.directory, path.root)
    marked = max((epoch.number for epoch in marked_epochs(path)), default=0)
    return cover, max(highest_epoch(path), marked) + 1, mark
