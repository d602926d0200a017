"""The union: each offset of a generation once, from any epoch that has it.

Readers never choose between epochs. Where frames of several epochs overlap, records win over
quarantines, and a gap counts only for offsets that no epoch has.
"""

from __future__ import annotations

import contextlib
import heapq
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from streambackup.domain.finding import Finding, FindingClass
from streambackup.journal.file_view import FileView
from streambackup.journal.frame import Bytes, Damage, Frame, FrameKind, decode_frames
from streambackup.journal.segment import PartitionPath, SegmentName


class PlacedFrame(NamedTuple):
    """A frame and the segment it stands in, ordered by the offsets it covers."""

    first: int
    next: int
    segment: SegmentName
    frame: Frame


class OpenedSegment(NamedTuple):
    """A segment that can be read whatever happens to its name;
    what is appended later is not seen.
    """

    generation: str
    name: SegmentName
    path: Path
    data: Bytes
    is_last: bool


def needed(segments: Sequence[SegmentName], floor: int) -> list[SegmentName]:
    """The segments that may cover offsets at or behind *floor*:
    those whose successor begins behind it.
    """
    kept = []
    for at, segment in enumerate(segments):
        following = segments[at + 1] if at + 1 < len(segments) else None
        if following is None or following.epoch != segment.epoch or following.first > floor:
            kept.append(segment)
    return kept


def open_segments(path: PartitionPath, floor: int) -> list[OpenedSegment]:
    """Open the segments that hold anything at or behind *floor*.

    One deleted meanwhile has been filed.
    """
    segments = path.segments()
    opened = []
    for segment in needed(segments, floor):
        last = max(s.first for s in segments if s.epoch == segment.epoch) == segment.first
        with contextlib.suppress(FileNotFoundError):
            opened.append(open_segment(path, segment, is_last=last))
    return opened


def open_segment(path: PartitionPath, segment: SegmentName, *, is_last: bool) -> OpenedSegment:
    """Open one segment; *is_last* where its epoch has none behind it. Raises FileNotFoundError."""
    file = path.path_of(segment)
    return OpenedSegment(path.generation, segment, file, FileView(file), is_last)


def frames_of(segment: OpenedSegment, findings: list[Finding]) -> Iterator[PlacedFrame]:
    """A segment's valid frames; what is not valid is noted in *findings*."""
    for _, found in decode_frames(segment.data, segment.generation, segment.name.first):
        if isinstance(found, Damage):
            _note(segment, found, findings)
        else:
            yield PlacedFrame(found.first, found.next, segment.name, found)


def _note(segment: OpenedSegment, damage: Damage, findings: list[Finding]) -> None:
    torn = damage.torn and segment.is_last
    what = f"bytes {damage.start} to {damage.end} are no frame"
    findings.append(
        Finding(
            finding=FindingClass.TORN_TAIL if torn else FindingClass.DAMAGED_FRAME,
            what=f"{what}: the end of an append that did not finish" if torn else what,
            path=str(segment.path),
        )
    )


def clusters(
    segments: Sequence[OpenedSegment], floor: int, findings: list[Finding]
) -> Iterator[list[PlacedFrame]]:
    """Frames behind *floor* in offset order, those that overlap together in one list.

    Frames that cover nothing (an epoch's opening) are left out.
    """
    streams = [frames_of(segment, findings) for segment in segments]
    cluster: list[PlacedFrame] = []
    reach = -1
    for placed in heapq.merge(*streams, key=lambda frame: (frame.first, frame.segment)):
        if placed.next <= floor or placed.next == placed.first:
            continue
        if cluster and placed.first >= reach:
            yield cluster
            cluster = []
        cluster.append(placed)
        reach = max(reach, placed.next)
    if cluster:
        yield cluster


def uncovered(gap: PlacedFrame, others: Sequence[PlacedFrame], floor: int) -> list[tuple[int, int]]:
    """The parts of *gap* behind *floor* that no frame of records among *others* covers."""
    at, parts = max(gap.first, floor), []
    for other in others:
        if other.frame.kind is FrameKind.GAP or other.next <= at:
            continue
        if other.first >= gap.next:
            break
        if other.first > at:
            parts.append((at, other.first))
        at = max(at, other.next)
    if at < gap.next:
        parts.append((at, gap.next))
    return parts
