"""A Maildir with an inbox, and a place for what its source remembers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.corpus.maildirs import make_folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "Maildir"
    make_folder(path, "INBOX")
    return path


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"
