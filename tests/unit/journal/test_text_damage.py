"""A bit flipped in a small JSON file can make it no text at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from streambackup.errors import StoreError
from streambackup.journal.life import LIFE_FILE, read_lives
from streambackup.journal.mark import read_mark
from streambackup.metadata.store_config import STORE_FILE, read_store_config

NO_TEXT = b'{"store": "\xff", "generation": "\xff", "check": "\xff"}'


def test_a_mark_that_is_no_text_is_none(tmp_path: Path) -> None:
    (tmp_path / "mark").write_bytes(NO_TEXT)
    assert read_mark(tmp_path / "mark") is None


def test_a_life_that_is_no_text_is_damaged(tmp_path: Path) -> None:
    file = tmp_path / "journal" / "g" / LIFE_FILE
    file.parent.mkdir(parents=True)
    file.write_bytes(NO_TEXT)
    with pytest.raises(StoreError, match="is damaged"):
        read_lives(tmp_path)


def test_a_store_file_that_is_no_text_is_damaged(tmp_path: Path) -> None:
    (tmp_path / STORE_FILE).write_bytes(NO_TEXT)
    with pytest.raises(StoreError, match="is damaged"):
        read_store_config(tmp_path)
