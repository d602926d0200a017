"""Messages and ids that break what programs expect come back exactly, and nothing escapes."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from streambackup.cli.main import run_command
from tests.corpus.odd import OddMessage, odd_messages
from tests.support.backup import Backup, names_of
from tests.support.recorded import recorded_snapshot

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(180)]

ANN = "ann@example.org"
IDS = [
    "..",
    "../../../escaped",
    "/etc/escaped",
    "a\0b",
    "é" * 150,
    "🦊/🦊",
    "Twin",
    "twin",
    "a\nb\t",
    "%2e%2e%2f",
    "~",
    " ",
    "CON.",
]


def deliver(message: OddMessage, maildir: Path) -> None:
    """By the Maildir protocol, byte for byte."""
    aside = maildir / "tmp" / message.name
    with aside.open("wb") as file:
        file.writelines(message.chunks())
    aside.rename(maildir / "cur" / f"{message.name}:2,S")


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digests_below(root: Path) -> list[str]:
    return sorted(sha256(path) for path in root.rglob("*.eml"))


@pytest.fixture(scope="module")
def maildir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each odd message once, one of 200 MB among them."""
    root = tmp_path_factory.mktemp("odd") / "Maildir"
    for part in ("tmp", "new", "cur"):
        (root / part).mkdir(parents=True)
    for message in odd_messages():
        deliver(message, root)
    return root


def test_odd_messages_of_a_maildir_come_back_identical(maildir: Path, tmp_path: Path) -> None:
    wanted = sorted(sha256(path) for path in (maildir / "cur").iterdir())
    fast = {"blobs.compression_level": 1}
    backup = Backup(tmp_path / "backup", maildirs={ANN: maildir}, settings=fast).init()
    with backup.service() as running:
        running.wait_until(
            lambda: len(recorded_snapshot(backup.reader(), ANN) or ()) == len(wanted),
            "all was recorded",
        )
        running.wait_until_caught_up()
    report = backup.json("restore", "account", ANN, "--to", tmp_path / "files", "--verify")
    assert report["complete"]
    assert digests_below(tmp_path / "files") == wanted


def test_odd_messages_that_are_published_come_back_identical(maildir: Path, tmp_path: Path) -> None:
    """All but the biggest, which comes to the bus the same way whoever sends it."""
    files = {path.name: path for path in (maildir / "cur").iterdir() if "huge" not in path.name}
    backup = Backup(tmp_path / "backup").init()
    state = {"folder": "in"}
    lines = [
        {"account": ANN, "item": name, "type": "message", "state": state, "file": str(path)}
        for name, path in files.items()
    ]
    backup.recorded(lines)
    report = backup.json("restore", "account", ANN, "--to", tmp_path / "mail", "--form", "maildir")
    assert report["restored"] == len(lines)
    restored = (path for path in (tmp_path / "mail").rglob("cur/*"))
    assert sorted(map(sha256, restored)) == sorted(map(sha256, files.values()))


def told_in(root: Path) -> Iterator[tuple[str, str, bytes]]:
    """Account, item and content of every document restored below *root*."""
    for path in root.rglob("*.json"):
        told = json.loads(path.read_bytes())
        yield told["account"], told["item"], path.with_name(path.name[: -len(".json")]).read_bytes()


def test_odd_ids_come_back_exactly_and_no_path_escapes(tmp_path: Path) -> None:
    """Each id as account, as item and as name of a document: in the store, and where restored."""
    backup = Backup(tmp_path / "deep" / "backup").init()
    contents = {id: f"content of {id}".encode() for id in IDS}
    files = {str(number): content for number, content in enumerate(contents.values())}
    backup.recorded(
        [
            {
                "account": account,
                "item": item,
                "type": "document",
                "state": {"name": item, "folder": None},
                "file": str(number),
            }
            for account in IDS
            for number, item in enumerate(IDS)
        ],
        files=files,
    )
    reader = backup.reader()
    assert reader.accounts() == sorted(IDS)
    for account in IDS:
        assert set(reader.history(account).items) == set(IDS)
        words = backup.command("restore", "account", account, "--to", tmp_path / "deep" / "out")
        assert run_command(words[1:]) == 0
    assert set(told_in(tmp_path / "deep" / "out")) == {
        (account, item, content) for account in IDS for item, content in contents.items()
    }
    assert set(os.listdir(tmp_path)) == {"deep"}
    assert set(os.listdir(tmp_path / "deep")) == {"backup", "out"}
    assert len(list(backup.path.glob("accounts/*/*"))) == len(IDS)
    inside = names_of(tmp_path, Path.exists)
    assert not any("escaped" in Path(name).parts for name in inside)
