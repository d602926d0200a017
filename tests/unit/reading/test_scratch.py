"""Scratch tables: on disk, and gone with their owner."""

from __future__ import annotations

import pytest

from streambackup.errors import NoSpaceError
from streambackup.reading.scratch import Scratch


def numbers() -> Scratch:
    return Scratch("CREATE TABLE numbers (number INTEGER PRIMARY KEY, text TEXT)")


def test_rows_come_back_as_they_were() -> None:
    scratch = numbers()
    scratch.add("INSERT INTO numbers VALUES (?, ?)", ((n, f"{n}\0") for n in range(3)))

    assert list(scratch.rows("SELECT text FROM numbers WHERE number > ?", 0)) == [
        ("1\0",),
        ("2\0",),
    ]


def test_a_full_disk_is_told_with_its_cure() -> None:
    scratch = numbers()
    scratch.execute("PRAGMA max_page_count = 8")

    with pytest.raises(NoSpaceError, match="no room for temporary data") as raised:
        scratch.add("INSERT INTO numbers VALUES (?, ?)", ((n, "x" * 900) for n in range(1_000)))
    assert "SQLITE_TMPDIR" in str(raised.value.hint)
