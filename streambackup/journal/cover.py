"""Where a partition's journal ends: what an owner takes over, and what readers may call reached."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from streambackup.domain.finding import Finding
from streambackup.journal.frame import (
    NO_RECORD,
    Frame,
    FrameKind,
    LastRecord,
    decode_frames,
)
from streambackup.journal.segment import PartitionPath
from streambackup.journal.union import OpenedSegment, clusters, open_segments

OPENING_BYTES_MAX = 64 * 1024
"""An epoch's opening frame is smaller than this."""


class Cover(msgspec.Struct, frozen=True):
    """An unbroken cover: ``end`` is the next offset to read, ``last`` the record before it.

    ``hole`` is where the next frame begins if frames are missing at ``end``.
    """

    end: int = 0
    last: LastRecord = NO_RECORD
    hole: int | None = None


def find_cover(path: PartitionPath) -> Cover:
    """The unbroken cover that the segments on disk reach.

    It is looked for from where the newest segment begins: its owner had found everything before it.
    """
    start = _newest_start(path)
    return cover_of(open_segments(path, start.end), start)


def _newest_start(path: PartitionPath) -> Cover:
    newest = max(path.segments(), key=lambda segment: (segment.epoch, segment.first), default=None)
    if newest is None:
        return Cover()
    with path.path_of(newest).open("rb") as file:
        head = file.read(OPENING_BYTES_MAX)
    for _, found in decode_frames(head):
        if isinstance(found, Frame) and found.kind is FrameKind.EPOCH:
            return Cover(found.first, found.last)
        break
    return Cover(newest.first)


def highest_epoch(path: PartitionPath) -> int:
    """The highest epoch number that anyone opened in the partition; 0 before the first."""
    return max((segment.epoch.number for segment in path.segments()), default=0)


def cover_of(segments: Sequence[OpenedSegment], start: Cover) -> Cover:
    """The cover that *segments* add to *start*."""
    findings: list[Finding] = []
    end, last = start.end, start.last
    for cluster in clusters(segments, start.end, findings):
        for placed in cluster:
            if placed.first > end:
                return Cover(end, last, placed.first)
            if placed.next > end:
                end, last = placed.next, placed.frame.last
    return Cover(end, last)
