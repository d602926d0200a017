"""A real broker that wants encryption and to know who comes: all works, and no secret is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from streambackup.errors import AccessError
from tests.support.backup import Backup, names_of
from tests.support.secure_kafka import SASL, TLS, SecureKafka, Settings

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(180)]

ACCOUNT = "anna@example.org"
LINE = {"account": ACCOUNT, "item": "note", "type": "document", "state": {"name": "note"}}
WAYS: dict[str, Callable[[SecureKafka], Settings]] = {
    "SCRAM-SHA-512": lambda kafka: kafka.by_password("SCRAM-SHA-512"),
    "SCRAM-SHA-256": lambda kafka: kafka.by_password("SCRAM-SHA-256"),
    "PLAIN": lambda kafka: kafka.by_password("PLAIN"),
    "certificate": lambda kafka: kafka.by_certificate(),
}
WRONG = "what-nobody-knows"


@pytest.mark.parametrize("way", WAYS)
def test_from_topics_to_accounts_over_an_encrypted_listener(
    way: str, fresh_secure_kafka: SecureKafka, tmp_path: Path
) -> None:
    kafka = fresh_secure_kafka
    backup = Backup(tmp_path, settings=WAYS[way](kafka))

    backup.json("topic", "create", "--partitions", 2)
    backup.init()
    backup.recorded([{**LINE, "file": "note.txt"}], files={"note.txt": b"text"})
    listed = backup.json("account", "list")
    topics = backup.json("topic", "describe")

    assert [account["account"] for account in listed] == [ACCOUNT]
    assert {topic["name"]: topic["partitions"] for topic in topics}["mailbox.transactions"] == 2
    assert backup.ask("item", "cat", ACCOUNT, "note").output == b"text"
    assert_untold(kafka.password, tmp_path)


def assert_untold(password: str, root: Path) -> None:
    """Nothing below *root*, the service's log among it, holds the password."""
    secret = password.encode()
    assert [name for name in names_of(root) if secret in (root / name).read_bytes()] == []


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
@pytest.mark.parametrize("command", ["run", "status", "publish"])
def test_a_wrong_password_is_one_line_without_it(
    command: str, mechanism: str, fresh_secure_kafka: SecureKafka, tmp_path: Path
) -> None:
    kafka = fresh_secure_kafka
    settings = kafka.by_password(mechanism)
    backup = Backup(tmp_path, settings=settings)
    backup.json("topic", "create", "--partitions", 2)
    backup.init()
    file = tmp_path / "wrong"
    file.touch(mode=0o600)
    file.write_text(WRONG)

    wrong = ("--set", f"{SASL}.password_file={file}", "--set", "log.level=debug")
    answer = backup.ask(command, *wrong, code=AccessError.exit_code)

    lines = [line for line in answer.errors.splitlines() if not line.startswith("{")]
    assert lines == [
        "streambackup: broker 127.0.0.1 does not accept our user or password",
        "  Check bus.kafka.sasl: user, mechanism, and what is in password_file.",
    ]
    assert WRONG not in answer.errors + answer.text


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({f"{TLS}.certificate_file": "stranger.pem"}, "refuses our certificate"),
        ({f"{TLS}.certificate_file": "expired.pem"}, "refuses our certificate"),
        ({f"{TLS}.ca_file": "ca.pem"}, "is of no authority that we trust"),
    ],
    ids=["of a stranger", "expired", "authority not trusted"],
)
def test_certificates_that_are_not_trusted_are_one_line(
    change: dict[str, str], says: str, strange_files: Path, secure_kafka: SecureKafka
) -> None:
    files = {key: str(strange_files / name) for key, name in change.items()}
    backup = Backup(strange_files / "backup", settings={**secure_kafka.by_certificate(), **files})

    answer = backup.ask("topic", "describe", code=AccessError.exit_code)

    message, hint = answer.errors.splitlines()
    assert says in message
    assert "bus.kafka.tls." in hint


def test_a_listener_without_encryption_is_told_apart(
    secure_kafka: SecureKafka, tmp_path: Path
) -> None:
    there = {"bus.kafka.bootstrap_servers": secure_kafka.open_address}
    backup = Backup(tmp_path, settings={**secure_kafka.by_certificate(), **there})

    answer = backup.ask("topic", "describe", code=7)

    assert "bus.kafka.tls and sasl fit their listener" in answer.errors
