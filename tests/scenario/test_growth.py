"""A real service goes on while the topics that it works on grow."""

from __future__ import annotations

import json
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from streambackup.bus.growth import StepName
from streambackup.reading.fingerprint import fingerprint
from tests.corpus.mailbox_writer import Writer, snapshot_of
from tests.support.backup import LEFT_BY_A_KILL, Backup
from tests.support.publishing import Publishing, Round, worker
from tests.support.recorded import recorded_snapshot
from tests.support.running import Running

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(300)]

ANN = "ann@example.org"
ACCOUNTS = [f"user{number}@example.org" for number in range(20)]
T = 1_700_000_000_000
KAFKA: dict[str, str | int] = {
    "bus.kind": "kafka",
    "bus.kafka.session_timeout_ms": 2_000,
    "bus.kafka.heartbeat_interval_ms": 200,
    "bus.kafka.rebalance_timeout_ms": 10_000,
    "worker.revoke_limit_s": 3,
}
PAUSE_LIMIT_S = 30
TOLD = (
    "list generation 2 with",
    "create mailbox.transactions.g2",
    "write the first record",
    "close generation 1",
    "write the end record",
    "list where generation 1 ends",
    "open generation 2",
)
"""How each step of the first growth is told."""


def round_of(number: int) -> Round:
    """One change of an item of every account."""
    lines: list[dict[str, Any]] = [
        {
            "account": account,
            "item": f"note{number % 3}",
            "type": "document",
            "time_ms": T + 1000 * number,
            "state": {"name": "note", "modified_ms": number},
            "file": f"{number}.txt",
        }
        for account in ACCOUNTS
    ]
    return lines, {f"{number}.txt": b"round %d\n" % number}


def kill_at(backup: Backup, partitions: int, step: str) -> None:
    """Grow, and die by SIGKILL when a *step* that is told so begins."""
    with subprocess.Popen(
        backup.command(*grow(partitions)), stderr=subprocess.PIPE, text=True, cwd=backup.root
    ) as growing:
        assert growing.stderr is not None
        told = next((line for line in growing.stderr if step in line), None)
        growing.kill()
    assert told is not None


def grow(partitions: int) -> list[Any]:
    return ["topic", "grow", "--partitions", partitions]


def found_transactions(backup: Backup) -> set[tuple[str, str]]:
    reader = backup.reader()
    return {
        (account, str(transaction))
        for account in ACCOUNTS
        for history in reader.examine(account).items.values()
        for state in history.states
        for transaction in state.transactions
    }


def wait_until_recorded(backup: Backup, running: Running, maildir: Path) -> None:
    held = snapshot_of(maildir)
    running.wait_until(lambda: recorded_snapshot(backup.reader(), ANN) == held, "all was recorded")


@pytest.mark.kafka
@pytest.mark.crash
def test_topics_grow_under_load_whoever_dies(tmp_path: Path, fresh_kafka: str) -> None:
    """Two services and a publisher at work; the growth is killed at each of its steps."""
    settings = {**KAFKA, "bus.kafka.bootstrap_servers": fresh_kafka}
    backup = Backup(tmp_path / "backup", settings=settings)
    backup.json("topic", "create", "--partitions", 4)
    backup.init()
    undisturbed = backup.copy("undisturbed", settings=settings)
    publishing = Publishing(backup, round_of)
    with ExitStack() as stack:
        one = stack.enter_context(worker(backup, "one"))
        other = stack.enter_context(worker(backup, "other"))
        one.wait_until(lambda: one.events("partition_taken"), "it had its share")
        stack.enter_context(publishing.going_on())
        one.wait_until(lambda: publishing.rounds > 1, "something was published")

        for step in TOLD:
            kill_at(backup, 8, step)
        grown = backup.json(*grow(8))
        assert (grown["number"], grown["partitions"]) == (2, 8)
        rounds = publishing.rounds
        one.wait_until(lambda: publishing.rounds > rounds + 1, "more was published")
        again = backup.json(*grow(12))
        assert again["pause_s"] < PAUSE_LIMIT_S
        rounds = publishing.rounds
        other.wait_until(lambda: publishing.rounds > rounds + 1, "more was published")
        one.kill()
        other.stop()
    with worker(backup, "last") as last:
        status = last.wait_until_caught_up()
        last.stop()

    assert [one["state"] for one in status["generations"]] == ["closed", "closed", "open"]
    assert [one["partitions"] for one in status["generations"]] == [4, 8, 12]
    backup.expect_sound(LEFT_BY_A_KILL)
    assert publishing.transactions == found_transactions(backup)
    with worker(undisturbed, "alone") as alone:
        # It is of the same group, which has told the bus long ago that it was at the end.
        alone.wait_until(
            lambda: found_transactions(undisturbed) == publishing.transactions, "it read it all"
        )
        alone.stop()
    assert undisturbed.json("fingerprint", "--compare", backup.path)["equal"]


def test_a_source_goes_on_in_the_next_generation(tmp_path: Path) -> None:
    """On the embedded bus, in one process with the workers."""
    root = tmp_path / "Maildir"
    user = Writer(root)
    backup = Backup(tmp_path / "backup", maildirs={ANN: root}).init()
    with backup.service() as running:
        for partitions in (6, 8):
            user.deliver()
            grown = backup.json(*grow(partitions))
            assert grown["pause_s"] < PAUSE_LIMIT_S
            user.deliver()
            user.mark()
            wait_until_recorded(backup, running, root)
        status = running.wait_until_caught_up()

    assert [one["partitions"] for one in status["generations"]] == [4, 6, 8]
    assert [one["behind_end"] for one in status["generations"]] == [0, 0, 0]
    assert not [line for line in status["warnings"] if "behind the end" in line]
    assert backup.reader().history(ANN).doubts == ()
    with backup.service() as again:
        again.wait_until_caught_up()


@pytest.mark.kafka
def test_a_stream_moves_from_the_embedded_bus_to_brokers(tmp_path: Path, fresh_kafka: str) -> None:
    """With records on the embedded bus that nobody had read."""
    root = tmp_path / "Maildir"
    user = Writer(root)
    before = Backup(tmp_path / "backup", maildirs={ANN: root}).init()
    with before.service() as running:
        user.deliver()
        wait_until_recorded(before, running, root)
    late = {"account": ANN, "item": "late", "type": "task", "time_ms": T, "state": {"title": "x"}}
    (published,) = before.publish([late])

    settings = {**KAFKA, "bus.kafka.bootstrap_servers": fresh_kafka}
    backup = Backup(tmp_path / "backup", maildirs={ANN: root}, settings=settings)
    grown = backup.json(*grow(4), "--from-embedded")
    assert (grown["number"], grown["partitions"]) == (2, 4)
    user.deliver()
    with backup.service() as running:
        backup.publish([{**late, "time_ms": T + 1000, "state": {"title": "y"}}])
        user.deliver()
        wait_until_recorded(backup, running, root)
        running.wait_until_caught_up()

    first, second = backup.reader().history(ANN).items["late"].states
    assert str(first.transactions[0]) == published["transaction"]
    assert second.state == {"title": "y"}
    assert [life.number for life in backup.reader().lives] == [1, 2]
    *_, report = backup.ask("replay", "--to", tmp_path / "replay", "--json").output.splitlines()
    replayed = json.loads(report)
    assert replayed["fingerprint"] == fingerprint(backup.reader())
    assert replayed["lost_generations"] == []
    assert backup.json(*grow(4), "--from-embedded")["pause_s"] is None
    as_before = Backup(tmp_path / "backup")
    refused = as_before.ask("publish", as_before.root / "published" / "lines.jsonl", code=8)
    assert "moved to" in refused.errors


def test_a_growth_is_shown_before_it_is_done_and_never_goes_back(tmp_path: Path) -> None:
    backup = Backup(tmp_path).init()

    steps = [row["name"] for row in backup.json(*grow(5), "--dry-run")]
    assert steps == [*StepName]
    assert [row["name"] for row in backup.json(*grow(5), "--dry-run")] == steps
    told = backup.ask(*grow(5))

    assert "open with 5 partitions" in told.text
    assert "sources wait from here on" in told.errors
    assert backup.json(*grow(5))["pause_s"] is None
    assert "5 partitions already" in backup.ask(*grow(4), code=2).errors
