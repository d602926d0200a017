"""What the commands say of a store that lost what readers cannot do without."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.backup import Backup

ANN = "ann@example.org"
LINE = {"account": ANN, "item": "work", "type": "folder", "state": {"name": "Work"}}


@pytest.fixture
def backup(tmp_path: Path) -> Backup:
    made = Backup(tmp_path / "b").init()
    made.recorded([LINE])
    return made


def lose(backup: Backup, pattern: str) -> None:
    """Take away what the pattern names."""
    found = sorted(backup.path.glob(pattern))
    assert found
    for number, path in enumerate(found):
        path.rename(backup.root / f"lost-{number}")


def test_a_lost_place_of_a_generation_is_told_by_the_lists(backup: Backup) -> None:
    lose(backup, "journal/*/generation.json")
    for words in (["account", "list"], ["item", "list", ANN]):
        said = backup.ask(*words)
        assert "may not be complete" in said.errors
        assert "generation.json" in said.errors
    assert any("generation.json" in warning for warning in backup.json("status")["warnings"])


def test_lost_account_logs_are_told_by_lists_status_and_restore(
    backup: Backup, tmp_path: Path
) -> None:
    lose(backup, "accounts/*")
    for words in (["account", "list"], ["item", "list", ANN]):
        said = backup.ask(*words)
        assert "all account logs of partition" in said.errors
        assert "streambackup check" in said.errors
    assert any("all account logs" in warning for warning in backup.json("status")["warnings"])
    told = backup.ask("restore", "account", ANN, "--to", tmp_path / "out", code=19)
    assert "all account logs of partition" in told.errors
