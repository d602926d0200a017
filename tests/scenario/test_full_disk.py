"""A disk without space: work pauses, says so, and goes on by itself; nothing is lost."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.backup import Backup
from tests.support.running import Running
from tests.support.small_disk import SmallDisk, small_disk

pytestmark = [pytest.mark.scenario, pytest.mark.tool("unshare"), pytest.mark.timeout(180)]

ANN = "ann@example.org"
LEFT_BEHIND = ("torn-tail", "leftover-file")
"""What writes that found no space may leave: notes, no faults."""


def lines(first: int, count: int) -> list[dict[str, Any]]:
    line = {"account": ANN, "type": "document", "state": {"name": "n"}}
    numbers = range(first, first + count)
    return [{**line, "item": str(number), "file": str(number)} for number in numbers]


def files(first: int, count: int) -> dict[str, bytes]:
    return {str(n): b"%d " % n * 5_000 for n in range(first, first + count)}


def paused(running: Running, disk: SmallDisk) -> bool:
    """Both workers have met the full disk. What they free by giving up is taken again."""
    disk.fill()
    topics = {event["topic"] for event in running.events("no_space")}
    return topics == {"mailbox.transactions", "mailbox.blobs"}


def says_it_is_stopped(running: Running) -> bool:
    """Status and metric tell of the partition."""
    stopped = [w for w in running.status()["warnings"] if "is stopped: no space left" in w]
    metric = re.search(
        rb'stopped_partitions{topic="mailbox.transactions"} ([1-9])', running.get("/metrics")
    )
    return any("mailbox.transactions" in warning for warning in stopped) and metric is not None


def all_go_on(running: Running) -> bool:
    return not any("is stopped" in warning for warning in running.status()["warnings"])


def expect_all(backup: Backup, contents: dict[str, bytes], place: Path) -> None:
    report = backup.json("restore", "account", ANN, "--to", place, "--verify")
    assert (report["restored"], report["complete"]) == (len(contents), True)
    restored = {p.read_bytes() for p in place.rglob("n*") if p.is_file() and p.suffix != ".json"}
    assert restored == set(contents.values())


def test_a_full_store_pauses_the_workers_until_there_is_space(tmp_path: Path) -> None:
    """What is published meanwhile waits on the bus, which has a disk of its own."""
    with small_disk(tmp_path / "disk", "size=4m") as disk:
        settings = {"store.state_path": str(tmp_path / "state")}
        backup = Backup(tmp_path / "backup", settings=settings, disk=disk).init()
        with backup.service(findings=LEFT_BEHIND) as running:
            backup.publish(lines(0, 3), files=files(0, 3))
            running.wait_until_caught_up()
            disk.fill()
            backup.publish(lines(3, 30), files=files(3, 30))
            running.wait_until(lambda: paused(running, disk), "the workers paused")
            status = running.status()
            assert status["lag"] > 0
            assert any("MB are free" in warning for warning in status["warnings"])
            running.wait_until(lambda: says_it_is_stopped(running), "it said so")
            (event, *_) = running.events("no_space")
            assert "no space left for" in event["reason"]
            disk.free()
            running.wait_until_caught_up()
            running.wait_until(lambda: all_go_on(running), "what could not be filed is")
        expect_all(backup, files(0, 33), tmp_path / "out")


def test_where_the_bus_has_no_space_either_publishing_is_refused(tmp_path: Path) -> None:
    """The default: everything on one disk. Whoever publishes learns what was taken."""
    with small_disk(tmp_path / "disk", "size=8m") as disk:
        backup = Backup(tmp_path / "backup", disk=disk).init()
        with backup.service(findings=LEFT_BEHIND) as running:
            backup.publish(lines(0, 3), files=files(0, 3))
            running.wait_until_caught_up()
            disk.fill()
            folder = tmp_path / "backup" / "published"
            refused = backup.ask("publish", folder / "lines.jsonl", code=6)
            assert "no space" in refused.errors
            assert "resumes by itself" in refused.errors
            assert running.alive
            disk.free()
            backup.publish(lines(3, 3), files=files(3, 3))
            running.wait_until_caught_up()
        expect_all(backup, files(0, 6), tmp_path / "out")


def test_a_read_only_directory_is_refused_with_the_cure(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "ro") as disk:
        refused = Backup(tmp_path / "backup", disk=disk).ask("init", code=4)
        assert "Read-only file system" in refused.errors
        assert list(disk.seen.iterdir()) == []
