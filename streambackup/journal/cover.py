"""Where a partition's journal ends: what an owner takes over, and what readers may call reached."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import msgspec

from streambackup.domain.finding import Finding
from streambackup.journal.file_view import FileView
from streambackup.journal.frame import (
    NO_RECORD,
    Frame,
    FrameKind,
    LastRecord,
    decode_frames,
)
from streambackup.journal.payload import EpochOpened, decode_payload
from streambackup.journal.segment import PartitionPath, SegmentName
from streambackup.journal.union import OpenedSegment, clusters, open_segments

OPENING_BYTES_MAX = 64 * 1024
"""An epoch's opening frame is smaller than this."""


class Cover(msgspec.Struct, frozen=True):
    """An unbroken cover: ``end`` is the next offset to read, ``last`` the record before it."""

    end: int = 0
    last: LastRecord = NO_RECORD


NOTHING = Cover()


def find_cover(path: PartitionPath, filed: Cover = NOTHING) -> Cover:
    """The unbroken cover that the segments on disk reach; *filed* is what stands in account logs.

    It is looked for from where the last segment to begin does, for whoever opened a segment had
    found, and made durable, everything before it.
    """
    return cover_and_segments(path, filed)[0]


def cover_and_segments(
    path: PartitionPath, filed: Cover = NOTHING
) -> tuple[Cover, list[OpenedSegment]]:
    """The cover, as ``find_cover`` finds it, and the segments that it may have from nobody who made
    them durable.
    """
    start = max(_last_beginning(path), filed, key=lambda cover: cover.end)
    segments = open_segments(path, start.end)
    return cover_of(segments, start), segments


def _last_beginning(path: PartitionPath) -> Cover:
    """Where the last segment begins whose opening can be read."""
    for segment in sorted(path.segments(), key=lambda segment: segment.first, reverse=True):
        if (opening := _opening(path, segment)) is not None:
            return Cover(opening.first, opening.last)
    return Cover()


def newest_epoch(path: PartitionPath) -> EpochOpened | None:
    """The epoch with the highest number in which anything was journalled; None before the first."""
    for segment in sorted(path.segments(), reverse=True):
        if (opening := _opening(path, segment)) is not None:
            return decode_payload(opening.payload, EpochOpened)
    return None


def _opening(path: PartitionPath, segment: SegmentName) -> Frame | None:
    """The first frame of *segment*, where it can be read."""
    with contextlib.suppress(FileNotFoundError):
        beginning = FileView(path.path_of(segment))[:OPENING_BYTES_MAX]
        _, opening = next(decode_frames(beginning), (0, None))
        if isinstance(opening, Frame) and opening.kind is FrameKind.EPOCH:
            return opening
    return None


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
                return Cover(end, last)
            if placed.next > end:
                end, last = placed.next, placed.frame.last
    return Cover(end, last)
