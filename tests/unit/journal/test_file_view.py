"""A journal is read a frame at a time, whatever happens to the file meanwhile."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from streambackup.errors import StoreError
from streambackup.journal.file_view import FileView


def test_slices_are_those_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")

    view = FileView(path)

    assert len(view) == 10
    assert [view[:3], view[3:7], view[7:], view[:], view[20:30]] == [
        b"012",
        b"3456",
        b"789",
        b"0123456789",
        b"",
    ]


def test_what_is_appended_later_is_not_seen_and_a_deleted_file_is_still_read(
    tmp_path: Path,
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"frame")
    view = FileView(path)

    with path.open("ab") as file:
        file.write(b"another")
    path.unlink()

    assert (len(view), view[:100]) == (5, b"frame")


def test_a_file_that_is_not_there_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        FileView(tmp_path / "missing")


def test_one_that_is_not_held_takes_no_descriptor_and_says_when_it_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"frame")
    before = len(os.listdir("/proc/self/fd"))
    view = FileView(path, held=False)

    assert (len(view), view[1:3]) == (5, b"ra")
    assert len(os.listdir("/proc/self/fd")) == before
    path.unlink()
    with pytest.raises(StoreError, match="deleted while it was read"):
        view[:1]


def test_a_view_gives_its_descriptor_back(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"frame")
    before = len(os.listdir("/proc/self/fd"))

    view = FileView(path)
    del view

    assert len(os.listdir("/proc/self/fd")) == before
