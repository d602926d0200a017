"""Retiring: segments that were filed long enough ago are deleted;
from then on the account logs are the record. Damaged ones are moved aside.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import structlog

from streambackup.domain.finding import Finding
from streambackup.journal.mark import farthest_mark
from streambackup.journal.segment import EpochName, PartitionPath, SegmentName
from streambackup.journal.union import frames_of, open_segment
from streambackup.runtime.disk import Disk

log = structlog.get_logger()


class Retiring:
    """Watches a partition's segments on behalf of the owner whose epoch is *own*;
    a restart begins every wait anew.
    """

    def __init__(self, path: PartitionPath, disk: Disk, own: EpochName) -> None:
        self._path = path
        self._disk = disk
        self._own = own
        self._ends: dict[SegmentName, int] = {}
        self._filed_since_ms: dict[SegmentName, int] = {}

    def retire(self, now_ms: int, retention_ms: int) -> list[Path]:
        """Delete the segments whose last frame a mark that counts has covered for *retention_ms*,
        and move aside the damaged among them: more may be in their bytes than could be filed.

        Returns their paths.

        Raises:
            StoreError: the disk failed.
        """
        gone = []
        filed_to = farthest_mark(self._path).filed_to  # The owner's own may be closed.
        self._note_ends(filed_to)
        for segment, end in sorted(self._ends.items()):
            if end > filed_to:
                continue
            since = self._filed_since_ms.setdefault(segment, now_ms)
            if now_ms - since >= retention_ms:
                file = self._path.path_of(segment)
                with contextlib.suppress(FileNotFoundError):  # Another owner was there first.
                    if self._is_damaged(segment):
                        self._move_aside(segment)
                    else:
                        self._disk.unlink(file)
                    gone.append(file)
                del self._ends[segment], self._filed_since_ms[segment]
        return gone

    def _is_damaged(self, segment: SegmentName) -> bool:
        """Whether it holds other bytes than frames, the end of an unfinished append apart."""
        names = self._path.segments()
        is_last = not any(n.epoch == segment.epoch and n.first > segment.first for n in names)
        findings: list[Finding] = []
        for _ in frames_of(open_segment(self._path, segment, is_last=is_last), findings):
            pass
        return any(found.is_fault for found in findings)

    def _move_aside(self, segment: SegmentName) -> None:
        source, aside = self._path.path_of(segment), self._path.quarantine
        log.error("damaged_segment", path=str(source), moved_to=str(aside.directory))
        self._disk.secure_directories(aside.directory, self._path.root)
        self._disk.rename(source, aside.path_of(segment))
        self._disk.sync_directory(aside.directory)

    def _note_ends(self, filed_to: int) -> None:
        """Where segments end: at the next one of their epoch, or for an earlier epoch's last, at
        its last frame. The last one of the owner's own epoch may still grow, and that of a later
        one, if the owner is none any more and was not told.
        """
        segments = self._path.segments()
        for at, segment in enumerate(segments):
            if segment in self._ends or segment.first > filed_to:
                continue
            following = segments[at + 1] if at + 1 < len(segments) else None
            if following is not None and following.epoch == segment.epoch:
                self._ends[segment] = following.first
            elif segment.epoch.number < self._own.number:
                self._ends[segment] = self._last_frame_end(segment)

    def _last_frame_end(self, segment: SegmentName) -> int:
        """Where a segment's frames end.

        Whoever still appends to it repeats what a later owner reads from the bus itself.
        """
        end = segment.first
        with contextlib.suppress(FileNotFoundError):
            for placed in frames_of(open_segment(self._path, segment, is_last=True), []):
                end = max(end, placed.next)
        return end
