"""Several services on one store and one real broker: they come, go, die and stand still."""

from __future__ import annotations

import os
import shutil
import signal
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from streambackup.journal.cover import find_cover
from streambackup.journal.segment import PartitionPath
from streambackup.service.store_home import node_id
from tests.support.backup import LEFT_BY_A_KILL, Backup
from tests.support.publishing import Publishing, Round, worker
from tests.support.running import Running

pytestmark = [
    pytest.mark.scenario,
    pytest.mark.kafka,
    pytest.mark.crash,
    pytest.mark.timeout(300),
]

PARTITIONS = 4
EVERYTHING = {
    (topic, partition)
    for topic in ("mailbox.transactions", "mailbox.blobs")
    for partition in range(PARTITIONS)
}
ACCOUNTS = [f"user{number}@example.org" for number in range(30)]
T = 1_700_000_000_000
LINE = {
    "account": "ann@example.org",
    "item": "note",
    "type": "document",
    "time_ms": T,
    "state": {"name": "note"},
    "file": "one.txt",
}
CONTENT = b"what was written\n"
SETTINGS: dict[str, str | int] = {
    "bus.kind": "kafka",
    "bus.kafka.session_timeout_ms": 2_000,
    "bus.kafka.heartbeat_interval_ms": 200,
    "bus.kafka.rebalance_timeout_ms": 10_000,
    "worker.revoke_limit_s": 3,
    "worker.batch_records_max": 20,
}


def round_of(number: int) -> Round:
    """Two changes of an item of every account, some with new content."""
    files = {f"{number}-{n}.txt": b"%d %d\n" % (number, n) * 500 * n for n in range(5)}
    lines: list[dict[str, Any]] = [
        {
            "account": account,
            "item": f"note{number % 3}",
            "type": "document",
            "time_ms": T + 1000 * number + 50 * half,
            "state": {"name": "note", "modified_ms": 2 * number + half},
            "file": f"{number}-{at % 5}.txt",
        }
        for at, account in enumerate(ACCOUNTS)
        for half in range(2)
    ]
    return lines, files


def taken(running: Running, since: int = 0) -> set[tuple[str, int]]:
    """The partitions that it took since it had taken so many."""
    found = running.events("partition_taken")[since:]
    return {(event["topic"], event["partition"]) for event in found}


def wait_for_more(running: Running, publishing: Publishing, rounds: int = 2) -> None:
    """So much more is published while *running* goes on."""
    wanted = publishing.rounds + rounds
    running.wait_until(lambda: publishing.rounds >= wanted, "more was published")


def positions(backup: Backup, generation: str) -> dict[tuple[str, int], int]:
    """How far its journals are."""
    paths = [PartitionPath(backup.path, generation, *partition) for partition in EVERYTHING]
    return {(path.topic, path.partition): find_cover(path).end for path in paths}


def found_transactions(backup: Backup) -> set[tuple[str, str]]:
    reader = backup.reader()
    return {
        (account, str(transaction))
        for account in ACCOUNTS
        for history in reader.history(account).items.values()
        for state in history.states
        for transaction in state.transactions
    }


def test_services_that_join_die_and_stand_still_change_no_history(
    tmp_path: Path, fresh_kafka: str
) -> None:
    """The same as one undisturbed service on the same topics, and nothing published is missing."""
    settings = {**SETTINGS, "bus.kafka.bootstrap_servers": fresh_kafka}
    backup = Backup(tmp_path / "backup", settings=settings)
    generation = backup.json("topic", "create", "--partitions", PARTITIONS)["generation"]
    backup.init()
    undisturbed = backup.copy("undisturbed", settings=settings)
    publishing = Publishing(backup, round_of)
    with ExitStack() as stack:
        staying = stack.enter_context(worker(backup, "staying"))
        staying.wait_until(lambda: taken(staying) == EVERYTHING, "it owned everything")
        stack.enter_context(publishing.going_on())
        dying = stack.enter_context(worker(backup, "dying"))
        dying.wait_until(lambda: taken(dying), "it had its share")
        wait_for_more(staying, publishing)

        dying.kill()
        joining = stack.enter_context(worker(backup, "joining"))
        joining.wait_until(lambda: taken(joining), "it had its share")
        wait_for_more(staying, publishing)

        before = len(joining.events("partition_taken"))
        os.kill(staying.pid, signal.SIGSTOP)
        joining.wait_until(lambda: taken(joining, before) == EVERYTHING, "it owned everything")
        wait_for_more(joining, publishing)
        before = len(staying.events("partition_taken"))
        os.kill(staying.pid, signal.SIGCONT)
        staying.wait_until(lambda: taken(staying, before), "it had its share again")
        wait_for_more(staying, publishing)

        joining.stop()
        staying.wait_until(lambda: taken(staying, before) == EVERYTHING, "it owned everything")
    with worker(backup, "last") as last:
        status = last.wait_until_caught_up()
        last.stop()

    backup.expect_sound(LEFT_BY_A_KILL)
    written = {(at["topic"], at["partition"]) for at in status["partitions"] if at["epoch"] > 1}
    assert written == EVERYTHING
    assert {at["node"] for at in status["partitions"]} == {node_id()}
    assert len(publishing.transactions) == 2 * len(ACCOUNTS) * publishing.rounds
    assert publishing.transactions == found_transactions(backup)
    with undisturbed.service("--role", "account", "--role", "blob") as alone:
        # It is of the same group, which has told the bus long ago that it was at the end.
        ends = positions(backup, generation)
        alone.wait_until(lambda: positions(undisturbed, generation) == ends, "it read everything")
    assert undisturbed.json("fingerprint", "--compare", backup.path)["equal"]


@pytest.mark.row("F190")
def test_a_replica_has_all_the_data_and_publishes_nothing(tmp_path: Path, fresh_kafka: str) -> None:
    """In another path, by another store id, with a group of its own, beside the primary's."""
    settings = {**SETTINGS, "bus.kafka.bootstrap_servers": fresh_kafka}
    primary = Backup(tmp_path / "primary", settings=settings)
    primary.json("topic", "create", "--partitions", PARTITIONS)
    primary.init()
    replica = Backup(tmp_path / "replica", settings=settings).init()
    store = primary.reader().config.store
    with primary.service() as working, replica.service() as copying:
        primary.publish([LINE], files={"one.txt": CONTENT})
        statuses = [running.wait_until_caught_up() for running in (working, copying)]
        assert [status["replica_of"] for status in statuses] == [None, store]
    assert replica.json("status")["replica_of"] == store
    assert primary.json("fingerprint", "--compare", replica.path)["equal"]
    refused = replica.ask("publish", replica.root / "streambackup.toml", code=4).errors
    assert f"is a replica of store {store}" in refused

    shutil.rmtree(primary.path)
    assert replica.ask("item", "cat", LINE["account"], "note").output == CONTENT


@pytest.mark.row("F190")
def test_a_replica_goes_on_from_its_own_position_whoever_else_works(
    tmp_path: Path, fresh_kafka: str
) -> None:
    """Either records alone what comes while the other is away, and both have all in the end."""
    settings = {**SETTINGS, "bus.kafka.bootstrap_servers": fresh_kafka}
    primary = Backup(tmp_path / "primary", settings=settings)
    primary.json("topic", "create", "--partitions", PARTITIONS)
    primary.init()
    replica = Backup(tmp_path / "replica", settings=settings).init()
    lines = [{**LINE, "item": f"note {number}"} for number in range(3)]
    for number, alone in enumerate((replica, primary, replica)):
        with alone.service() as running:
            primary.publish([lines[number]], files={"one.txt": CONTENT})
            running.wait_until_caught_up()
            found = set(alone.reader().history("ann@example.org").items)
            assert found == {f"note {earlier}" for earlier in range(number + 1)}
    with primary.service() as running:
        running.wait_until_caught_up()
    assert primary.json("fingerprint", "--compare", replica.path)["equal"]


def test_a_replica_watches_no_sources(tmp_path: Path, fresh_kafka: str) -> None:
    settings = {**SETTINGS, "bus.kafka.bootstrap_servers": fresh_kafka}
    primary = Backup(tmp_path / "primary", settings=settings)
    primary.json("topic", "create", "--partitions", PARTITIONS)
    primary.init()
    maildirs = {"ann": tmp_path / "maildir"}
    replica = Backup(tmp_path / "replica", settings=settings, maildirs=maildirs).init()
    assert "publishes nothing" in replica.ask("run", code=4).errors
