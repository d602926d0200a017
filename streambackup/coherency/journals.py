"""Checking journals: every frame of every segment, the cover they make,
and what is not filed yet.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from streambackup.blobs.loose import LooseBlobs
from streambackup.domain.finding import Finding, FindingClass
from streambackup.events.topics import BLOBS, TRANSACTIONS
from streambackup.journal.frame import FrameKind
from streambackup.journal.life import Life
from streambackup.journal.mark import damaged_marks, farthest_mark
from streambackup.journal.payload import Blobs, GivenUp, decode_payload
from streambackup.journal.segment import PartitionPath
from streambackup.journal.union import OpenedSegment, frames_of, open_segment
from streambackup.metadata.account_log import note_unreadable
from streambackup.reading.partition_log import partition_logs, unreadable_lines
from streambackup.reading.store_reader import StoreReader


def check_journals(
    reader: StoreReader, progress: Callable[[int], None] = lambda _: None
) -> Iterator[Finding]:
    """Check every partition of every generation; *progress* is told how many segments were read."""
    numbers = itertools.count(1)
    for life in reader.lives:
        for topic, partitions in _topics(life):
            for partition in range(partitions):
                path = PartitionPath(reader.root, life.generation, topic, partition)
                segments = _told(_segments(path), numbers, progress)
                yield from _check_partition(path, segments, filed=topic == TRANSACTIONS)


def _topics(life: Life) -> list[tuple[str, int]]:
    return [(TRANSACTIONS, life.partitions), (BLOBS, life.blob_partitions)]


def _told(
    segments: Iterable[OpenedSegment], numbers: Iterator[int], progress: Callable[[int], None]
) -> Iterator[OpenedSegment]:
    for segment in segments:
        yield segment
        progress(next(numbers))


def _check_partition(
    path: PartitionPath, segments: Iterable[OpenedSegment], *, filed: bool
) -> Iterator[Finding]:
    findings: list[Finding] = []
    filed_to = farthest_mark(path).filed_to if filed else 0
    reach: list[tuple[int, int]] = []
    for segment in segments:
        end = 0
        for placed in frames_of(segment, findings):
            end = max(end, placed.next)
            _extend(reach, placed.first, placed.next)
            if placed.frame.kind is FrameKind.BLOBS:
                given_up = decode_payload(placed.frame.payload, Blobs).given_up
                findings += _abandoned(given_up, path.root, segment.path)
        if filed and end > filed_to:
            findings.append(
                Finding(
                    finding=FindingClass.UNFILED_SEGMENT,
                    what=f"offsets up to {end} are journalled and not filed yet",
                    path=str(segment.path),
                )
            )
    findings += _holes(path, reach, farthest_mark(path).filed_to if filed else 0)
    findings += _marks(path)
    findings += _moved_aside(path)
    for file in partition_logs(path):
        findings += [note_unreadable(line, file) for line in unreadable_lines(file)]
    yield from findings


def _abandoned(uploads: Iterable[GivenUp], root: Path, segment: Path) -> Iterator[Finding]:
    """Uploads that were given up, unless their content came in another."""
    blobs = LooseBlobs(root)
    for upload in uploads:
        if not blobs.exists(upload.digest):
            yield Finding(
                finding=FindingClass.ABANDONED_UPLOAD,
                what=f"upload {upload.upload} of {upload.digest} never ended: "
                f"{upload.received} of {upload.total} bytes came",
                digest=upload.digest,
                path=str(segment),
                offset=upload.first_offset,
                cure="Publish the content again if a transaction names it.",
            )


def _segments(path: PartitionPath) -> Iterator[OpenedSegment]:
    """Segments one at a time; one deleted meanwhile has been filed."""
    segments = path.segments()
    for at, segment in enumerate(segments):
        following = segments[at + 1] if at + 1 < len(segments) else None
        last = following is None or following.epoch != segment.epoch
        try:
            yield open_segment(path, segment, is_last=last)
        except FileNotFoundError:
            continue


def _extend(reach: list[tuple[int, int]], first: int, next_: int) -> None:
    """Add a frame's offsets to *reach*, in which those that follow each other are one part."""
    if reach and reach[-1][1] == first:
        first, _ = reach.pop()
    reach.append((first, next_))


def _holes(path: PartitionPath, reach: list[tuple[int, int]], floor: int) -> Iterator[Finding]:
    """Offsets that no frame covers although later ones are covered."""
    at = floor
    for first, next_ in sorted(reach):
        if first > at and next_ > at:
            yield Finding(
                finding=FindingClass.MISSING_FRAMES,
                what=f"no frame covers the offsets {at} to {first - 1}",
                path=str(path.directory),
                offset=at,
                cure="Copy the missing segment from another copy of the store, "
                "or replay the topic.",
            )
        at = max(at, next_)


def _moved_aside(path: PartitionPath) -> Iterator[Finding]:
    for segment in path.quarantine.segments():
        yield Finding(
            finding=FindingClass.DAMAGED_FRAME,
            what="the segment was damaged, and moved aside when it was due to be deleted",
            path=str(path.quarantine.path_of(segment)),
            cure="What could be read of it is filed. Delete it when nobody needs the rest.",
        )


def _marks(path: PartitionPath) -> Iterator[Finding]:
    for file in damaged_marks(path):
        yield Finding(
            finding=FindingClass.DAMAGED_LINE,
            what="the filed mark fails its check",
            path=str(file),
            cure="Copy it from another copy of the store. Without it, what still has a segment "
            "is filed again, and the rest counts as a gap.",
        )
