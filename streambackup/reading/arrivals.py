"""What the journals say was stored, whatever became of it: asked for content that is not there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from streambackup.events.topics import BLOBS
from streambackup.journal.frame import FrameKind
from streambackup.journal.life import Life
from streambackup.journal.payload import Blobs, decode_payload
from streambackup.journal.segment import PartitionPath
from streambackup.journal.union import frames_of, open_segment
from streambackup.reading.scratch import Scratch


class Arrivals:
    """The digests that were stored in any of *lives* until now. Blocking; reads every journal of
    blobs when it is made, and holds little in memory.
    """

    def __init__(self, root: Path, lives: Iterable[Life]) -> None:
        self._scratch = Scratch("CREATE TABLE stored (digest TEXT PRIMARY KEY) WITHOUT ROWID")
        for life in lives:
            for partition in range(life.blob_partitions):
                path = PartitionPath(root, life.generation, BLOBS, partition)
                rows = ((digest,) for digest in _stored(path))
                self._scratch.add("INSERT OR IGNORE INTO stored VALUES (?)", rows)

    def __contains__(self, digest: str) -> bool:
        return any(self._scratch.rows("SELECT 1 FROM stored WHERE digest = ?", digest))


def _stored(path: PartitionPath) -> Iterator[str]:
    for segment in path.segments():
        with contextlib.suppress(FileNotFoundError):
            for placed in frames_of(open_segment(path, segment, is_last=True), []):
                if placed.frame.kind is FrameKind.BLOBS:
                    payload = decode_payload(placed.frame.payload, Blobs)
                    yield from (blob.digest for blob in payload.stored)
