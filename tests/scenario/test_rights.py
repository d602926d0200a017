"""The rights that ``topic create --show-acls`` prints are enough for each role, and none too many:
a real broker with an authorizer says so.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from streambackup.errors import AccessError
from streambackup.service.rights import USER_PREFIX
from tests.support.backup import Answer, Backup
from tests.support.secure_kafka import SASL, SecureKafka

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(300)]

ACL_TOOL = "org.apache.kafka.tools.AclCommand"
ANY_PATTERN = ("--resource-pattern-type", "match")
ACCOUNT = "anna@example.org"
LINES = [
    {
        "account": ACCOUNT,
        "item": f"note-{n}",
        "type": "document",
        "state": {"name": "note"},
        "file": f"{n}.txt",
    }
    for n in range(5)
]
FILES = {f"{n}.txt": b"content %d" % n for n in range(5)}


class Cluster:
    """A store on a broker whose users have no right but those given here."""

    def __init__(self, kafka: SecureKafka, backup: Backup) -> None:
        self._kafka = kafka
        self.backup = backup
        self._named: set[tuple[str, str]] = set()

    def give(self, role: str) -> None:
        """Run what is printed for *role*, as it is printed."""
        printed = self.backup.ask("topic", "create", "--show-acls").text.splitlines()
        for words in map(shlex.split, printed):
            if f"User:{USER_PREFIX}{role}" in words:
                assert words[:2] == ["kafka-acls.sh", "--bootstrap-server"]
                self._kafka.command(ACL_TOOL, *words[3:])
                kind = "--topic" if "--topic" in words else "--group"
                self._named.add((kind, words[words.index(kind) + 1]))

    def take(self, role: str, operation: str, *resource: str) -> None:
        """Leave *role* no more than the sight of the resource, if that was not it."""
        user = ("--allow-principal", f"User:{USER_PREFIX}{role}", *resource)
        if operation in ("Read", "Write"):
            self._kafka.command(ACL_TOOL, "--add", *user, "--operation", "Describe")
        taken = ("--operation", operation, *ANY_PATTERN)
        self._kafka.command(ACL_TOOL, "--remove", "--force", *user, *taken)

    def take_all(self) -> None:
        """Of everybody, on whatever was named: one call, since each takes a second."""
        resources = [word for named in sorted(self._named) for word in named]
        self._kafka.command(ACL_TOOL, "--remove", "--force", *ANY_PATTERN, *resources)

    def ask(self, role: str, *words: object, code: int = 0) -> Answer:
        return self.backup.ask(*words, *as_user(role), code=code)


def as_user(role: str) -> Sequence[str]:
    return ("--set", f"{SASL}.user={USER_PREFIX}{role}")


@pytest.fixture
def cluster(fresh_secure_kafka: SecureKafka, tmp_path: Path) -> Cluster:
    settings = fresh_secure_kafka.by_password("PLAIN")
    return Cluster(fresh_secure_kafka, Backup(tmp_path, settings=settings))


def test_each_role_works_with_what_is_printed_and_not_with_less(cluster: Cluster) -> None:
    backup = cluster.backup
    try:
        cluster.give("operator")
        refused(cluster, "source", "topic", "create", says="Describe streambackup.config")
        cluster.ask("operator", "topic", "create", "--partitions", 2)
        cluster.ask("operator", "init")

        cluster.give("source")
        publish(cluster)
        cluster.give("account")
        work(cluster, "account", "mailbox.transactions")
        cluster.give("blob")
        work(cluster, "blob", "mailbox.blobs")

        cluster.give("reader")
        listed = cluster.ask("reader", "account", "list", "--json").json
        assert [account["account"] for account in listed] == [ACCOUNT]
        assert cluster.ask("reader", "item", "cat", ACCOUNT, "note-3").output == b"content 3"
        assert cluster.ask("reader", "status", "--json").json["lag"] == 0
        back = str(backup.root / "back")
        restored = cluster.ask("reader", "restore", "account", ACCOUNT, "--to", back, "--json")
        assert restored.code == 0

        assert_none_can_be_missed(cluster)
    finally:
        cluster.take_all()


def publish(cluster: Cluster) -> None:
    file = cluster.backup.root / "published"
    cluster.backup.root.joinpath("published").mkdir(exist_ok=True)
    for name, content in FILES.items():
        (file / name).write_bytes(content)
    (file / "lines.jsonl").write_bytes(
        b"".join(msgspec.json.encode(line) + b"\n" for line in LINES)
    )
    cluster.ask("source", "publish", file / "lines.jsonl")


def work(cluster: Cluster, role: str, topic: str) -> None:
    """A worker of one role alone reads its topic to the end."""
    with cluster.backup.service("--role", role, *as_user(role)) as running:
        running.wait_until(
            lambda: all(
                at["lag"] == 0 for at in running.status()["partitions"] if at["topic"] == topic
            ),
            f"{topic} was read",
        )


def refused(cluster: Cluster, role: str, *words: object, says: str) -> None:
    """One line that names the right, and the documented exit code."""
    answer = cluster.ask(role, *words, code=AccessError.exit_code)
    lines = [line for line in answer.errors.splitlines() if not line.startswith("{")]
    assert lines == [
        f"streambackup: the brokers do not give us the right to {says}",
        "  'streambackup topic create --show-acls' prints the rights that each role needs.",
    ]


def assert_none_can_be_missed(cluster: Cluster) -> None:
    """A sample of the rights, each taken away: the role's work ends, and says which it was."""
    store = cluster.backup.reader().config.store
    group = f"streambackup.{store}.transactions"
    file = cluster.backup.root / "published" / "lines.jsonl"
    publish(cluster)

    cluster.take("blob", "Read", "--topic", "mailbox.blobs")
    refused(cluster, "blob", "run", "--role", "blob", says="Read mailbox.blobs")
    cluster.take("account", "Read", "--group", group)
    refused(cluster, "account", "run", "--role", "account", says=f"Read {group}")
    cluster.take("source", "Write", "--topic", "mailbox.transactions")
    refused(cluster, "source", "publish", file, says="Write to mailbox.transactions")
    cluster.take("reader", "Describe", "--group", group)
    assert f"Describe group {group}" in cluster.ask("reader", "status", code=21).errors
    cluster.take("reader", "DescribeConfigs", "--topic", "mailbox.transactions")
    says = "DescribeConfigs of mailbox.transactions"
    refused(cluster, "reader", "topic", "describe", says=says)
    cluster.take("reader", "Read", "--topic", "streambackup.config")
    refused(cluster, "reader", "topic", "describe", says="Read streambackup.config")
