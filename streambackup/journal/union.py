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
from streambackup.journal.frame import (
    Bytes,
    Damage,
    Frame,
    FrameKind,
    decode_frames,
    headers_end,
)
from streambackup.journal.segment import PartitionPath, SegmentName

HELD_MAX = 64
"""Of one partition's segments so many are open at once; what is deleted among them can be read."""


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
    """Open the segments that cover anything at or behind *floor*.

    One deleted meanwhile has been filed. Few are held open: all of them only where few are left.
    """
    segments = path.segments()
    lasts = {segment.epoch: segment for segment in segments}
    opened: list[OpenedSegment] = []
    for segment in needed(segments, floor):
        is_last = lasts[segment.epoch] == segment
        with contextlib.suppress(FileNotFoundError):
            one = open_segment(path, segment, is_last=is_last, held=len(opened) < HELD_MAX)
            end = headers_end(one.data) if is_last and floor > 0 else None
            if end is None or end > floor:
                opened.append(one)
    return opened


def open_segment(
    path: PartitionPath, segment: SegmentName, *, is_last: bool, held: bool = True
) -> OpenedSegment:
    """Open one segment; *is_last* where its epoch has none behind it. Raises FileNotFoundError."""
    file = path.path_of(segment)
    return OpenedSegment(path.generation, segment, file, FileView(file, held=held), is_last)


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


def _in_order(segments: Sequence[OpenedSegment], findings: list[Finding]) -> Iterator[PlacedFrame]:
    """All frames by their first offset. A segment is not read before its turn comes: of many, few
    have a frame in memory at a time.
    """
    waiting = sorted(segments, key=lambda segment: (segment.name.first, segment.name), reverse=True)
    current: list[tuple[int, SegmentName, int, PlacedFrame, Iterator[PlacedFrame]]] = []
    begun = 0
    while waiting or current:
        while waiting and (not current or waiting[-1].name.first <= current[0][0]):
            stream = frames_of(waiting.pop(), findings)
            begun += 1
            if (first := next(stream, None)) is not None:
                heapq.heappush(current, (first.first, first.segment, begun, first, stream))
        if not current:
            return
        _, _, number, placed, stream = current[0]
        yield placed
        if (following := next(stream, None)) is None:
            heapq.heappop(current)
        else:
            entry = (following.first, following.segment, number, following, stream)
            heapq.heapreplace(current, entry)


def clusters(
    segments: Sequence[OpenedSegment], floor: int, findings: list[Finding]
) -> Iterator[list[PlacedFrame]]:
    """Frames behind *floor* in offset order, those that overlap together in one list.

    Frames that cover nothing (an epoch's opening) are left out.
    """
    cluster: list[PlacedFrame] = []
    reach = -1
    for placed in _in_order(segments, findings):
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
