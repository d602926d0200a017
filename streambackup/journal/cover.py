"""Where a partition's journal ends: what an owner takes over, and what readers may call reached."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from streambackup.domain.finding import Finding
from streambackup.journal.frame import NO_RECORD, LastRecord
from streambackup.journal.segment import PartitionPath
from streambackup.journal.union import OpenedSegment, clusters, open_segments


class Cover(msgspec.Struct, frozen=True):
    """An unbroken cover: ``end`` is the next offset to read, ``last`` the record before it.

    ``hole`` is where the next frame begins if frames are missing at ``end``.
    """

    end: int = 0
    last: LastRecord = NO_RECORD
    hole: int | None = None


def find_cover(path: PartitionPath, start: Cover) -> Cover:
    """The cover from *start* (what was filed, or the beginning) through the segments on disk."""
    return cover_of(open_segments(path, start.end), start)


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
