"""A mailbox that went away while others are still watched."""

from __future__ import annotations

import mailbox
from pathlib import Path

import pytest

from tests.support.backup import Backup

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(120)]


def watching_two(tmp_path: Path, listen: str) -> Backup:
    trees = {account: tmp_path / account for account in ("ann", "bob")}
    for tree in trees.values():
        mailbox.Maildir(tree)
    return Backup(tmp_path / "backup", maildirs=trees, settings={"http.listen": listen}).init()


def test_a_source_that_is_away_is_told_by_a_service_that_listens_nowhere(tmp_path: Path) -> None:
    backup = watching_two(tmp_path, "0")
    with backup.service() as running:
        running.wait_until(
            lambda: backup.json("status")["warnings"] == [], "all that it watches was read"
        )
        (tmp_path / "bob").rename(tmp_path / "elsewhere")
        (warning,) = running.wait_until(
            lambda: backup.json("status")["warnings"], "the tree was missed"
        )
        assert warning.startswith("bob: ")
        assert str(tmp_path / "bob") in warning
        (tmp_path / "elsewhere").rename(tmp_path / "bob")
        running.wait_until(lambda: backup.json("status")["warnings"] == [], "it was back")
        running.stop()


def test_a_metric_counts_the_trees_that_are_away(tmp_path: Path) -> None:
    backup = watching_two(tmp_path, "127.0.0.1:0")
    name = b'streambackup_source_trees_away{source="maildir"} '
    with backup.service() as running:
        running.wait_until(lambda: name + b"0.0" in running.get("/metrics"), "none was away")
        (tmp_path / "bob").rename(tmp_path / "elsewhere")
        running.wait_until(lambda: name + b"1.0" in running.get("/metrics"), "one was away")
        assert name + b"1.0" in running.get("/metrics")
        running.stop()
