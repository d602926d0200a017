"""Retiring: segments that were filed long enough ago are deleted; from then on the account
logs are the record.
"""

from __future__ import annotations

from pathlib import Path

from streambackup.journal.segment import PartitionPath, SegmentName
from streambackup.journal.union import clusters, open_segments
from streambackup.runtime.disk import Disk


class Retiring:
    """Watches a partition's segments on behalf of its owner; a restart begins every wait anew."""

    def __init__(self, path: PartitionPath, disk: Disk) -> None:
        self._path = path
        self._disk = disk
        self._ends: dict[SegmentName, int] = {}
        self._filed_since_ms: dict[SegmentName, int] = {}

    def retire(self, filed_to: int, now_ms: int, retention_ms: int) -> list[Path]:
        """Delete the segments whose last frame a mark has covered for *retention_ms*.
        Returns their paths.
        """
        deleted = []
        self._note_ends(filed_to)
        for segment in self._path.segments():
            end = self._ends.get(segment)
            if end is None or end > filed_to:
                continue
            since = self._filed_since_ms.setdefault(segment, now_ms)
            if now_ms - since >= retention_ms:
                file = self._path.path_of(segment)
                self._disk.unlink(file)
                deleted.append(file)
                del self._ends[segment], self._filed_since_ms[segment]
        return deleted

    def _note_ends(self, filed_to: int) -> None:
        """Where segments end: at the next one of their epoch, or for an epoch's last, at
        its last frame.
        """
        segments = self._path.segments()
        for at, segment in enumerate(segments):
            if segment in self._ends or segment.first > filed_to:
                continue
            following = segments[at + 1] if at + 1 < len(segments) else None
            if following is not None and following.epoch == segment.epoch:
                self._ends[segment] = following.first
        dead = [s for s in segments if s not in self._ends and s.epoch != segments[-1].epoch]
        if not dead:
            return
        for opened in open_segments(self._path, 0):
            if opened.name in dead:
                frames = [placed for group in clusters([opened], 0, []) for placed in group]
                self._ends[opened.name] = max((f.next for f in frames), default=opened.name.first)
