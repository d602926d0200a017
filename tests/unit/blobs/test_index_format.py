"""The digest index is a cache: what it cannot use it makes anew."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from streambackup.blobs.index import FORMAT, DigestIndex, stored_totals
from streambackup.domain.digest import digest_of
from streambackup.errors import StoreError
from streambackup.journal.payload import Blobs, StoredBlob

DIGEST = digest_of(b"")


def filled(file: Path) -> None:
    index = DigestIndex(file)
    index.apply([Blobs([StoredBlob(DIGEST, 0, 0, 0)], [], [], [])], "segment", 10)
    index.close()


def known(file: Path) -> set[str]:
    index = DigestIndex(file)
    try:
        return index.known([DIGEST])
    finally:
        index.close()


def test_what_it_was_told_is_known_after_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "blobs-0.sqlite"
    filled(file)

    assert known(file) == {DIGEST}


def test_without_its_directory_it_fails_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="digest index"):
        DigestIndex(tmp_path / "gone" / "blobs-0.sqlite")


def test_one_of_another_format_is_made_anew(tmp_path: Path) -> None:
    file = tmp_path / "blobs-0.sqlite"
    filled(file)
    with closing(sqlite3.connect(file)) as database:
        database.execute(f"PRAGMA user_version = {FORMAT + 1}")

    assert known(file) == set()


@pytest.mark.parametrize("damage", [b"no database at all", b"SQLite format 3\0" * 50])
def test_a_damaged_one_is_made_anew(tmp_path: Path, damage: bytes) -> None:
    file = tmp_path / "blobs-0.sqlite"
    filled(file)
    file.write_bytes(damage)

    assert known(file) == set()


def test_beside_its_owner_it_is_counted_and_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "blobs-0.sqlite"
    owner = DigestIndex(file)
    owner.apply([Blobs([StoredBlob(DIGEST, 7, 5, 0)], [], [], [])], "segment", 10)

    assert stored_totals(file) == (1, 7, 5)
    owner.close()
    file.write_bytes(b"no database at all")
    assert stored_totals(file) == (0, 0, 0)
    assert file.read_bytes() == b"no database at all"
