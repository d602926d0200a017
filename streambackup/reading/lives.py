"""In which life a partition is journalled now: partitions of topics that were made anew go on, one
by one, in lives derived from the one that the events name.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from streambackup.events.config import Generation
from streambackup.events.topics import TRANSACTIONS
from streambackup.journal.cover import find_cover
from streambackup.journal.life import Life, read_lives
from streambackup.journal.mark import farthest_mark
from streambackup.journal.segment import PartitionPath


def newest_named(lives: Sequence[Life]) -> Life | None:
    """The newest of *lives* that the topics themselves name."""
    return next((life for life in reversed(lives) if not life.derived), None)


def last_path(
    root: Path, lives: Sequence[Life], generation: str, topic: str, partition: int
) -> PartitionPath:
    """Where the partition of *generation* is journalled last: there, or in what was derived."""
    path = PartitionPath(root, generation, topic, partition)
    for life in lives:
        if life.derived and life.predecessor == path.generation:
            derived = path._replace(generation=life.generation)
            path = derived if derived.directory.exists() else path
    return path


def is_read_to_end(root: Path, generation: Generation, partition: int) -> bool:
    """Whether the store's journals reach the end record of a closed *generation* in a partition of
    transactions. Blocking.
    """
    path = last_path(root, read_lives(root), generation.generation, TRANSACTIONS, partition)
    return find_cover(path, farthest_mark(path).cover).end > generation.ends[partition]
