"""The cluster of deploy/kafka: its settings as they stand, and one broker killed under load."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streambackup.events.topics import TRANSACTIONS
from streambackup.outbox.content import passes
from streambackup.runtime.clock import SystemClock
from streambackup.runtime.retry import keep_trying
from streambackup.service.settings_loading import load_settings
from streambackup.service.wiring import open_bus
from tests.support.backup import Backup, clean_environment
from tests.support.running import Running
from tests.support.three_brokers import ThreeBrokers, three_brokers

pytestmark = [
    pytest.mark.scenario,
    pytest.mark.kafka,
    pytest.mark.tool("openssl"),
    pytest.mark.timeout(300),
]

ACCOUNTS = [f"user{number}@example.org" for number in range(30)]
ROUNDS = 60
T = 1_700_000_000_000


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreeBrokers]:
    with three_brokers(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


def line(number: int, account: str) -> dict[str, Any]:
    return {
        "account": account,
        "item": "note",
        "type": "document",
        "time_ms": T + 1000 * number,
        "state": {"name": "note", "modified_ms": number},
        "file": f"{number}.txt",
    }


def test_nothing_is_lost_when_a_broker_is_killed_under_load(
    cluster: ThreeBrokers, tmp_path: Path
) -> None:
    backup = Backup(tmp_path, settings=cluster.settings)
    backup.json("topic", "create", "--partitions", 3)
    expect_designed_topics(backup)
    backup.init()
    (tmp_path / "published").mkdir()
    for number in range(ROUNDS):
        (tmp_path / "published" / f"{number}.txt").write_bytes(b"content %d\n" % number)

    with backup.service() as running:
        with publishing(backup) as publisher:
            feed(publisher, range(ROUNDS // 3))
            running.wait_until(lambda: recorded(running) > 0, "some were recorded")
            cluster.brokers[1].kill()
            feed(publisher, range(ROUNDS // 3, ROUNDS))
        assert publisher.wait(60) == 0
        running.wait_until_caught_up()

    reader = backup.reader()
    for account in ACCOUNTS:
        history = reader.history(account)
        states = [entry.state["modified_ms"] for entry in history.items["note"].states]
        assert states == list(range(ROUNDS))
        assert history.doubts == ()
    assert backup.ask("item", "cat", ACCOUNTS[0], "note").output == b"content %d\n" % (ROUNDS - 1)
    assert backup.ask("check").code == 0


def expect_designed_topics(backup: Backup) -> None:
    """Three replicas, two in sync, no unclean elections: nothing to warn of."""
    described = backup.ask("topic", "describe", "--json")
    assert described.errors == ""
    for topic in described.json:
        assert topic["replicas"] == 3
        assert topic["settings"]["min.insync.replicas"] == "2"
        assert topic["settings"]["unclean.leader.election.enable"] == "false"


def recorded(running: Running) -> int:
    partitions = running.status()["partitions"]
    return sum(at["position"] for at in partitions if at["topic"] == "mailbox.transactions")


def publishing(backup: Backup) -> subprocess.Popen[bytes]:
    """``publish``, which reads its lines from a pipe."""
    return subprocess.Popen(
        backup.command("publish"),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env=clean_environment(backup.root),
        cwd=backup.root / "published",
    )


def feed(publisher: subprocess.Popen[bytes], rounds: range) -> None:
    assert publisher.stdin is not None
    for number in rounds:
        for account in ACCOUNTS:
            publisher.stdin.write(msgspec.json.encode(line(number, account)) + b"\n")
    publisher.stdin.flush()


def test_users_are_called_as_their_certificates(cluster: ThreeBrokers, tmp_path: Path) -> None:
    """And have the rights that are printed for users of that name."""
    Backup(tmp_path / "admin", settings=cluster.settings).ask("topic", "create", "--partitions", 3)
    settings = {**cluster.settings, **cluster.as_user("streambackup-reader")}
    reader = Backup(tmp_path / "reader", settings=settings)

    refused = reader.ask("topic", "describe", code=21)
    printed = reader.ask("topic", "create", "--show-acls").text.splitlines()
    for words in map(shlex.split, printed):
        if "User:streambackup-reader" in words:
            cluster.acls(words[1:])
    described = reader.json("topic", "describe")

    assert "do not give us the right to" in refused.errors
    assert [topic["name"] for topic in described] == [
        "mailbox.transactions",
        "mailbox.inventory",
        "mailbox.quarantine",
        "mailbox.blobs",
        "streambackup.config",
    ]


async def test_a_bus_is_closed_though_no_broker_says_goodbye(
    cluster: ThreeBrokers, tmp_path: Path
) -> None:
    """Encrypted connections end with a word of both sides."""
    backup = Backup(tmp_path, settings=cluster.settings)
    backup.json("topic", "create", "--partitions", 3)
    settings = load_settings(config=backup.config)
    bus, other = open_bus(settings, SystemClock()), open_bus(settings, SystemClock())
    held = await bus.bounds([TRANSACTIONS])

    with ExitStack() as stack:
        for broker in cluster.brokers:
            stack.enter_context(broker.frozen())
        await bus.close()

    # Other tests find the brokers as they were.
    again = await keep_trying(
        lambda: other.bounds([TRANSACTIONS]), passing=passes, what="ask for offsets"
    )
    assert again.keys() == held.keys()
    await other.close()
