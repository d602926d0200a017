"""Bringing a digest index up to what its partition's journals say, whoever wrote them and in
whichever life: what is stored stays stored when a topic is made anew.
"""

from __future__ import annotations

from pathlib import Path

from streambackup.blobs.index import DigestIndex
from streambackup.journal.frame import FrameKind
from streambackup.journal.life import read_lives
from streambackup.journal.payload import Blobs, decode_payload
from streambackup.journal.segment import PartitionPath
from streambackup.journal.union import frames_of, open_segment


def open_index(file: Path, path: PartitionPath, topic: str) -> DigestIndex:
    """The index in *file*, holding all that the journals of *path*'s partition of *topic* say,
    oldest life first.

    Raises:
        NoSpaceError: the index cannot grow.
        StoreError: a file that describes a life is damaged.
    """
    index = DigestIndex(file)
    try:
        for life in read_lives(path.root):
            if life.blobs_topic == topic:
                _replay_journal(path._replace(generation=life.generation), index)
    except BaseException:
        index.close()
        raise
    return index


def _replay_journal(path: PartitionPath, index: DigestIndex) -> None:
    """Apply to *index* every frame that it does not hold yet, segment by segment."""
    applied = index.applied()
    for segment in path.segments():
        size = path.path_of(segment).stat().st_size
        if applied.get(str(segment)) == size:
            continue
        opened = open_segment(path, segment, is_last=True)
        batches = [
            decode_payload(placed.frame.payload, Blobs)
            for placed in frames_of(opened, [])
            if placed.frame.kind is FrameKind.BLOBS
        ]
        index.apply(batches, str(segment), len(opened.data))
