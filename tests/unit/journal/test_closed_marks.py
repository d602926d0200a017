"""Closed marks: from a rename on, nothing that an epoch marks counts any more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from streambackup.journal.mark import (
    FiledMark,
    close_marks,
    damaged_marks,
    farthest_mark,
    mark_files,
    marked_epochs,
    write_mark,
)
from streambackup.journal.segment import EpochName, PartitionPath
from streambackup.runtime.disk import Disk
from streambackup.testing.epochs import epoch_name
from streambackup.testing.partition_store import PartitionStore

FIRST, SECOND, THIRD = (epoch_name(number) for number in (1, 2, 3))
DISK = Disk()


@pytest.fixture
def path(tmp_path: Path) -> PartitionPath:
    store = PartitionStore(tmp_path / "store")
    store.path.directory.mkdir(parents=True)
    return store.path


def mark(path: PartitionPath, epoch: EpochName, filed_to: int) -> None:
    write_mark(path, epoch, FiledMark(filed_to, None, 0, 0), DISK)


def test_what_is_marked_before_the_close_counts_and_what_is_marked_after_it_does_not(
    path: PartitionPath,
) -> None:
    mark(path, FIRST, 5)
    mark(path, SECOND, 4)

    assert close_marks(path, SECOND, DISK) == {FIRST}
    assert farthest_mark(path).filed_to == 5
    mark(path, FIRST, 9)
    assert farthest_mark(path).filed_to == 5
    mark(path, SECOND, 7)
    assert farthest_mark(path).filed_to == 7
    assert marked_epochs(path) == {FIRST, SECOND}


class _OvertakenDisk(Disk):
    """Lets others act ahead of its first rename."""

    def __init__(self, between: Callable[[], object]) -> None:
        self._between = between

    def rename(self, source: Path, target: Path) -> None:
        between, self._between = self._between, lambda: None
        between()
        super().rename(source, target)


def test_an_owner_that_another_overtakes_while_it_closes_does_not_raise_what_counts(
    path: PartitionPath,
) -> None:
    """It has found the mark open; the other closes it, and the epoch marks again."""
    mark(path, FIRST, 5)

    def close_and_mark() -> None:
        close_marks(path, SECOND, DISK)
        mark(path, FIRST, 9)

    close_marks(path, THIRD, _OvertakenDisk(close_and_mark))
    assert farthest_mark(path).filed_to == 5


def test_neither_newer_epochs_nor_those_of_the_same_number_are_closed(path: PartitionPath) -> None:
    twin = epoch_name(2, writer=7)
    for epoch in (FIRST, SECOND, twin, THIRD):
        mark(path, epoch, 1)

    assert close_marks(path, SECOND, DISK) == {FIRST}
    assert {epoch for epoch, _ in mark_files(path)} == {SECOND, twin, THIRD}


def test_of_a_closed_mark_that_is_damaged_nothing_counts(path: PartitionPath) -> None:
    mark(path, FIRST, 5)
    close_marks(path, SECOND, DISK)
    (closed,) = path.directory.glob("*.closed")
    closed.write_bytes(b"{}")
    mark(path, FIRST, 9)

    assert farthest_mark(path).filed_to == 0
    assert damaged_marks(path) == [closed]
