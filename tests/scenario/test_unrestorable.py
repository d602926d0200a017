"""What cannot be restored is told apart, counted and named; what can be saved of it is."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from streambackup.blobs.loose import LooseBlobs
from streambackup.bus.port import Outgoing
from streambackup.domain.digest import digest_of
from streambackup.domain.entry import ItemType
from streambackup.events.codec import encode_event
from streambackup.events.mailbox import Put
from tests.corpus.mailbox_writer import snapshot_of
from tests.support.backup import Backup

pytestmark = pytest.mark.scenario

ANN = "ann@example.org"
T = 1_700_000_000_000
MAILS = {name: b"Subject: %b\n\nbody\n" % name.encode() for name in ("good", "lost", "bad", "old")}
GOOD = hashlib.sha256(MAILS["good"]).hexdigest()
BROKEN = Put(
    schema=1,
    account=ANN,
    source="foreign",
    incarnation="0" * 16,
    sequence=1,
    time_ms=T,
    item="broken",
    type=ItemType.MESSAGE,
    state={"folder": 7},
)


def message(item: str, content: str, time_ms: int = T) -> dict[str, Any]:
    line = {"account": ANN, "item": item, "type": "message", "time_ms": time_ms}
    return {**line, "state": {"folder": "in"}, "file": content}


@pytest.fixture
def backup(tmp_path: Path) -> Backup:
    """Of six items of Ann's two are sound, and one of these is no mail."""
    backup = Backup(tmp_path / "backup").init()
    folder = {"account": ANN, "item": "in", "type": "folder", "state": {"name": "Inbox"}}
    contact = {"account": ANN, "item": "contact", "type": "contact", "state": {"folder": "in"}}
    backup.publish_raw([Outgoing("mailbox.transactions", ANN.encode(), encode_event(BROKEN))])
    lines = [
        {**folder, "time_ms": T},
        {**contact, "time_ms": T},
        message("good", "good"),
        message("lost", "lost"),
        message("bad", "old"),
        message("bad", "bad", T + 1000),
    ]
    backup.recorded(lines, files=MAILS)
    return backup


def blob(backup: Backup, content: bytes) -> Path:
    return LooseBlobs(backup.path).path_of(digest_of(content))


def spoil(backup: Backup) -> tuple[Path, bytes]:
    """Lose one blob and flip a byte of another; the lost one, to be put back."""
    lost, bad = blob(backup, MAILS["lost"]), blob(backup, MAILS["bad"])
    kept = lost, lost.read_bytes()
    lost.unlink()
    data = bytearray(bad.read_bytes())
    data[12] ^= 1
    bad.write_bytes(data)
    return kept


@pytest.mark.row("F134")
@pytest.mark.row("F135")
@pytest.mark.row("F138")
def test_each_class_of_failure_is_named_and_the_rest_comes_back(
    backup: Backup, tmp_path: Path
) -> None:
    lost, content = spoil(backup)
    out = "restore", "account", ANN, "--to", tmp_path / "out"
    answer = backup.ask(*out, "--form", "maildir", "--verify", "--json", code=14)
    report = answer.json
    assert {item["item"]: item["failure"] for item in report["unrestored"]} == {
        "broken": "broken",
        "bad": "broken",
        "lost": "read-error",
        "contact": "invalid",
    }
    assert (report["selected"], report["restored"], report["skipped"]) == (6, 2, 0)
    assert report["selected"] == report["restored"] + len(report["unrestored"])
    assert snapshot_of(tmp_path / "out") == {("INBOX", "", GOOD)}
    assert "4 of 6 items not restored" in answer.errors

    (salvage,) = [i["salvage"] for i in report["unrestored"] if i["item"] == "bad"]
    earlier = "--transaction", salvage, "--to", tmp_path / "saved"
    assert backup.json("restore", "item", ANN, "bad", *earlier)["restored"] == 1
    (file,) = (tmp_path / "saved").rglob("*.eml")
    assert file.read_bytes() == MAILS["old"]

    lost.write_bytes(content)
    again = backup.json(*out, code=14)
    assert (again["restored"], again["skipped"], len(again["unrestored"])) == (1, 2, 3)


def test_a_file_tree_takes_what_a_maildir_refuses(backup: Backup, tmp_path: Path) -> None:
    """With what the store holds whole; the broken state stays behind in both."""
    report = backup.json("restore", "account", ANN, "--to", tmp_path / "out", code=14)
    assert [item["item"] for item in report["unrestored"]] == ["broken"]
    assert report["restored"] == 5


@pytest.mark.row("F016")
def test_an_item_is_restored_into_another_account_of_another_mail_server(
    backup: Backup, tmp_path: Path
) -> None:
    """Into a Maildir that another service watches for another store: there it is a new item."""
    (tmp_path / "ben" / "cur").mkdir(parents=True)
    (tmp_path / "ben" / "new").mkdir()
    (tmp_path / "ben" / "tmp").mkdir()
    other = Backup(tmp_path / "other", maildirs={"ben@example.net": tmp_path / "ben"}).init()
    into = "--to", tmp_path / "ben", "--into", "ben@example.net"
    with other.service() as running:
        report = backup.json("restore", "item", ANN, "good", *into, "--verify")
        assert (report["into"], report["restored"], report["verified"]) == ("ben@example.net", 1, 1)
        found = running.wait_until(
            lambda: (
                other.json("item", "list", "ben@example.net", "--type", "message")
                if other.reader().accounts()
                else None
            ),
            "the other service saw it",
        )
        running.wait_until_caught_up()
    assert other.ask("item", "cat", "ben@example.net", found[0]["item"]).output == MAILS["good"]
