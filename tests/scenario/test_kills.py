"""A service killed again and again ends where one that nobody disturbed does."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.support.backup import Backup

pytestmark = [pytest.mark.scenario, pytest.mark.crash, pytest.mark.timeout(180)]

ACCOUNTS = [f"user{number}@example.org" for number in range(6)]
T = 1_700_000_000_000
SLOWLY: dict[str, str | int] = {"worker.batch_records_max": 4, "worker.segment_age_s": 1}


def random_lines(random: Random, count: int) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """Changes of a few items of every account, often within a moment, with shared contents."""
    lines: list[dict[str, Any]] = []
    files = {f"{n}.txt": b"%d\n" % n * random.randint(1, 3000) for n in range(30)}
    time_ms = T
    for number in range(count):
        time_ms += random.choice((1, 30, 200))
        line = {
            "account": random.choice(ACCOUNTS),
            "item": f"item{random.randrange(8)}",
            "time_ms": time_ms,
        }
        if random.random() < 0.1:
            lines.append({**line, "event": "delete"})
        else:
            state = {"name": "n", "modified_ms": number}
            file = random.choice(list(files))
            lines.append({**line, "type": "document", "state": state, "file": file})
    return lines, files


def kill_when(backup: Backup, wanted: int) -> int:
    """Run a service and kill it when at most *wanted* records are left; how many were."""
    with backup.service() as running:

        def status() -> dict[str, Any] | None:
            found = running.status()
            return found if found["lag"] <= wanted else None

        left: int = running.wait_until(status, f"only {wanted} were left")["lag"]
        running.kill()
    return left


def test_killed_at_random_it_ends_as_undisturbed_on_the_same_topics(tmp_path: Path) -> None:
    random = Random(1)
    undisturbed = Backup(tmp_path / "undisturbed", settings=SLOWLY).init()
    lines, files = random_lines(random, 600)
    undisturbed.publish(lines, files=files)
    disturbed = undisturbed.copy("disturbed", settings=SLOWLY)
    with undisturbed.service() as running:
        running.wait_until_caught_up()

    left, kills = kill_when(disturbed, 10_000), 1
    while left:
        left, kills = kill_when(disturbed, random.randrange(left // 2 + 1)), kills + 1
    with disturbed.service() as running:
        running.wait_until_caught_up()
    assert kills >= 3
    compared = undisturbed.json("fingerprint", "--compare", disturbed.path)
    assert compared["equal"]


def test_a_comparison_names_the_first_difference(tmp_path: Path) -> None:
    one = Backup(tmp_path / "one").init()
    lines, files = random_lines(Random(2), 20)
    one.recorded(lines, files=files)
    other = one.copy("other")
    more = {"account": ACCOUNTS[3], "item": "item3", "type": "task", "state": {"title": "Call"}}
    (transaction,) = other.recorded([{**more, "time_ms": T + 1_000_000}])
    answer = one.ask("fingerprint", "--compare", other.path, "--json", code=15)
    difference = answer.json["difference"]
    assert (difference["account"], difference["item"]) == (ACCOUNTS[3], "item3")
    assert difference["transaction"] == transaction
    assert f"account {ACCOUNTS[3]}, item item3" in answer.errors
