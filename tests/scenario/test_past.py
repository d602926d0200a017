"""A store with a past: what is shown of it and restored from it is what was, at any instant."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streambackup.domain.instant import format_instant
from streambackup.reading.fingerprint import fingerprint
from tests.corpus.mailbox_writer import Snapshot, snapshot_of
from tests.support.backup import Backup, tree_of

pytestmark = pytest.mark.scenario

ANN, BEN = "ann@example.org", "ben@example.org"
T = 1_700_000_000_000
HOUR = 3_600_000
FOLDERS = {"in": "Inbox", "work": "Work", "bin": "Trash"}
EXISTS = FOLDERS | {ANN: ANN}
OLD: dict[str, Any] = {
    "address": ANN,
    "password_hash": "{SSHA}old",
    "preferences": {"locale": "it"},
}
NEW = {**OLD, "password_hash": "{SSHA}new", "preferences": {"locale": "en"}, "signature": "Ann"}
MAILS = [
    b"From: bob@example.net\nSubject: number %d\n\nbody %d\n" % (number, number)
    for number in range(4)
]
DRAFT, EDITED = b"From: ann@example.org\n\nDear\n", b"From: ann@example.org\n\nDear Bob\n"
FILES = {f"{number}.eml": content for number, content in enumerate(MAILS)} | {
    "draft.eml": DRAFT,
    "edited.eml": EDITED,
}


def put(item: str, type: str, time_ms: int, file: str = "", **state: Any) -> dict[str, Any]:
    line = {"account": ANN, "item": item, "type": type, "time_ms": time_ms, "state": state}
    return {**line, "file": file} if file else line


def delete(item: str, time_ms: int, account: str = ANN) -> dict[str, Any]:
    return {"account": account, "event": "delete", "item": item, "time_ms": time_ms}


def the_past() -> Iterator[dict[str, Any]]:
    """What happens to Ann's account, hour by hour."""
    yield put(ANN, "account", T, **OLD)
    for item, name in FOLDERS.items():
        yield put(item, "folder", T, name=name, parent=None)
    for number in range(4):
        yield put(f"m{number}", "message", T + number, f"{number}.eml", folder="in", flags=[])
    yield put("draft", "message", T + 10, "draft.eml", folder="work", flags=["draft"])
    # Two changes, 100 ms apart.
    yield put("m0", "message", T + 1000, "0.eml", folder="in", flags=["seen"])
    yield put("m0", "message", T + 1100, "0.eml", folder="in", flags=["flagged", "seen"])
    # In the second hour: another password and preference, an edit, a move to the trash.
    yield put(ANN, "account", T + HOUR, **NEW)
    yield put("draft", "message", T + HOUR, "edited.eml", folder="work", flags=["draft"])
    yield put("m1", "message", T + HOUR, "1.eml", folder="bin", flags=["seen"])
    # In the third: three deletions, half a second apart.
    yield delete("m2", T + 2 * HOUR)
    yield delete("m3", T + 2 * HOUR + 500)
    yield delete("draft", T + 2 * HOUR + 1000)
    # In the fourth the account goes.
    yield {"account": ANN, "event": "account-delete", "time_ms": T + 3 * HOUR}


def bens_past() -> Iterator[dict[str, Any]]:
    """Ben's account is emptied, and lives on."""
    for number in range(3):
        line = put(f"m{number}", "message", T, f"{number}.eml", folder="in", flags=[])
        yield {**line, "account": BEN}
    for number in range(3):
        yield delete(f"m{number}", T + HOUR, BEN)


@pytest.fixture(scope="module")
def backup(tmp_path_factory: pytest.TempPathFactory) -> Backup:
    backup = Backup(tmp_path_factory.mktemp("past") / "backup").init()
    backup.recorded([*the_past(), *bens_past()], files=FILES)
    return backup


def held_at(instant_ms: int) -> dict[str, dict[str, Any]]:
    """Ann's items and the lines that made them what they were at an instant, by brute force."""
    items: dict[str, dict[str, Any]] = {}
    for line in the_past():
        if line["time_ms"] <= instant_ms:
            if line.get("event") == "account-delete":
                items.clear()
            elif line.get("event") == "delete":
                del items[line["item"]]
            else:
                items[line["item"]] = line
    return items


def maildir_at(instant_ms: int) -> Snapshot:
    """Ann's messages at an instant, as a Maildir holds them."""
    letters = {"seen": "S", "flagged": "F", "draft": "D"}
    folders = {**FOLDERS, "in": "INBOX"}
    return frozenset(
        (
            folders[line["state"]["folder"]],
            "".join(sorted(letters[flag] for flag in line["state"]["flags"])),
            hashlib.sha256(FILES[line["file"]]).hexdigest(),
        )
        for line in held_at(instant_ms).values()
        if line["type"] == "message"
    )


def files_at(instant_ms: int) -> tuple[list[dict[str, Any]], list[tuple[str, bytes]]]:
    """Ann's account at an instant, as plain files hold it: states, and contents by directory."""
    items = held_at(instant_ms).values()
    states = [line["state"] for line in items if "file" not in line]
    contents = [
        (FOLDERS[line["state"]["folder"]], FILES[line["file"]]) for line in items if "file" in line
    ]
    return sorted(states, key=str), sorted(contents)


def files_in(root: Path) -> tuple[list[dict[str, Any]], list[tuple[str, bytes]]]:
    """What plain files at *root* hold, as ``files_at`` says it."""
    found = [p for p in root.rglob("*") if p.is_file()]
    states = [json.loads(p.read_bytes())["state"] for p in found if p.suffix == ".json"]
    contents = [(p.parent.name, p.read_bytes()) for p in found if p.suffix == ".eml"]
    return sorted(states, key=str), sorted(contents)


def restore(backup: Backup, *words: object, code: int = 0) -> Any:
    return backup.json("restore", *words, "--verify", code=code)


@pytest.mark.row("F003")
@pytest.mark.row("F137")
def test_a_history_lists_every_state_with_the_place_of_its_content(backup: Backup) -> None:
    """Four states were published of the draft: two contents, one deletion and the account's end."""
    states = backup.json("item", "history", ANN, "draft")
    lines = [line for line in the_past() if line.get("item") == "draft"]
    assert [state["state"] for state in states[:2]] == [line["state"] for line in lines[:2]]
    assert [state["deleted"] for state in states] == [False, False, True]
    assert [state["start"] for state in states] == [format_instant(x["time_ms"]) for x in lines]
    assert [state["end"] for state in states] == [*(state["start"] for state in states[1:]), None]
    contents = [
        subprocess.run(
            ["gunzip", "-c"], input=(backup.path / s["blob"]).read_bytes(), capture_output=True
        ).stdout
        for s in states[:2]
    ]
    assert contents == [DRAFT, EDITED]


@pytest.mark.row("F136")
def test_an_item_is_shown_with_its_metadata_and_its_content(backup: Backup) -> None:
    at = format_instant(T + HOUR - 1)
    shown = backup.json("item", "show", ANN, "m0", "--at", at)
    assert shown["state"] == {"folder": "in", "flags": ["flagged", "seen"]}
    assert (shown["size"], shown["content"]) == (len(MAILS[0]), "stored")
    assert backup.ask("item", "cat", ANN, "m0", "--at", at).output == MAILS[0]
    assert backup.ask("item", "cat", ANN, "draft", "--at", at).output == DRAFT
    later = format_instant(T + HOUR)
    assert backup.ask("item", "cat", ANN, "draft", "--at", later).output == EDITED


@pytest.mark.row("F025")
def test_between_two_changes_100_ms_apart_the_first_holds(backup: Backup, tmp_path: Path) -> None:
    restore(backup, "item", ANN, "m0", "--at", T + 1099, "--to", tmp_path, "--form", "maildir")
    restore(backup, "item", ANN, "m0", "--at", T + 1100, "--to", tmp_path, "--form", "maildir")
    digest = hashlib.sha256(MAILS[0]).hexdigest()
    assert snapshot_of(tmp_path) == {("INBOX", "S", digest), ("INBOX", "FS", digest)}


@pytest.mark.row("F012")
def test_an_accounts_own_data_has_a_history_and_comes_back(backup: Backup, tmp_path: Path) -> None:
    states = backup.json("account", "history", ANN)
    assert [state["state"] for state in states[:2]] == [OLD, NEW]
    assert backup.json("account", "show", ANN, "--at", T + HOUR)["state"] == NEW
    restore(backup, "item", ANN, ANN, "--at", T + HOUR - 1, "--to", tmp_path)
    assert files_in(tmp_path) == ([OLD], [])


@pytest.mark.row("F121")
def test_one_item_comes_back_as_it_was_then(backup: Backup, tmp_path: Path) -> None:
    """Into the account's folder, in the state of that time, although it is gone since."""
    report = restore(
        backup, "item", ANN, "draft", "--at", T + HOUR - 1, "--to", tmp_path, "--form", "maildir"
    )
    assert (report["into"], report["restored"]) == (ANN, 1)
    assert snapshot_of(tmp_path) == {("Work", "D", hashlib.sha256(DRAFT).hexdigest())}


@pytest.mark.row("F123")
@pytest.mark.parametrize("instant_ms", [T + 5, T + 1050, T + HOUR, T + 2 * HOUR + 500])
def test_an_account_comes_back_into_a_new_one_as_of_an_instant(
    instant_ms: int, backup: Backup, tmp_path: Path
) -> None:
    before = fingerprint(backup.reader())
    at = "account", ANN, "--at", instant_ms, "--into", "new@example.org"
    report = restore(backup, *at, "--to", tmp_path / "files")
    assert (report["into"], report["restored"]) == ("new@example.org", len(held_at(instant_ms)))
    assert files_in(tmp_path / "files" / "new@example.org") == files_at(instant_ms)

    report = restore(backup, *at, "--to", tmp_path / "mail", "--form", "maildir", code=14)
    assert [(u["item"], u["failure"]) for u in report["unrestored"]] == [(ANN, "invalid")]
    assert snapshot_of(tmp_path / "mail") == maildir_at(instant_ms)
    assert fingerprint(backup.reader()) == before


@pytest.mark.row("F124")
def test_of_an_emptied_account_now_is_nothing_and_the_last_good_instant_is_named(
    backup: Backup, tmp_path: Path
) -> None:
    report = restore(backup, "account", BEN, "--to", tmp_path / "now")
    assert (report["selected"], report["restored"]) == (0, 0)
    last = format_instant(T + HOUR - 1)
    assert any(last in warning for warning in report["warnings"])
    report = restore(backup, "account", BEN, "--at", last, "--to", tmp_path / "then")
    assert report["restored"] == 3
    contents = sorted(content for _, content in files_in(tmp_path / "then")[1])
    assert contents == sorted(MAILS[:3])


@pytest.mark.row("F125")
def test_a_deleted_account_comes_back_with_its_content_and_preferences(
    backup: Backup, tmp_path: Path
) -> None:
    shown = backup.json("account", "history", ANN)
    assert (shown[-1]["deleted"], shown[-1]["start"]) == (True, format_instant(T + 3 * HOUR))
    last_ms = T + 3 * HOUR - 1
    restore(backup, "account", ANN, "--at", last_ms, "--to", tmp_path)
    assert files_in(tmp_path) == files_at(last_ms)
    assert NEW in files_in(tmp_path)[0]


@pytest.mark.row("F126")
@pytest.mark.parametrize(
    ("since_ms", "until_ms", "returned"),
    [
        (T + 2 * HOUR, T + 2 * HOUR + 1, [MAILS[2]]),
        (T + 2 * HOUR + 1, T + 2 * HOUR + 1000, [MAILS[3]]),
        (T + 2 * HOUR, T + 2 * HOUR + 1001, [EDITED, MAILS[2], MAILS[3]]),
        (T, T + 2 * HOUR, []),
    ],
)
def test_exactly_what_was_deleted_in_a_window_returns(
    since_ms: int, until_ms: int, returned: list[bytes], backup: Backup, tmp_path: Path
) -> None:
    report = restore(
        backup, "undelete", ANN, "--since", since_ms, "--until", until_ms, "--to", tmp_path
    )
    assert report["restored"] == len(returned)
    assert sorted(content for _, content in files_in(tmp_path)[1]) == sorted(returned)


@pytest.mark.row("F130")
@pytest.mark.row("F131")
def test_a_repeated_restore_skips_what_is_there_and_leaves_what_is_more(
    backup: Backup, tmp_path: Path
) -> None:
    last_ms = T + 3 * HOUR - 1
    words = "account", ANN, "--at", last_ms, "--to", tmp_path
    first = restore(backup, *words)
    assert first["restored"] == len(held_at(last_ms))
    (tmp_path / ANN / "Inbox" / "mine.txt").write_text("mine")
    kept = tree_of(tmp_path / ANN)
    second = restore(backup, *words)
    assert (second["restored"], second["skipped"]) == (0, first["restored"])
    assert tree_of(tmp_path / ANN) == kept


@pytest.mark.row("F004")
def test_each_of_five_transactions_comes_back_by_an_id_that_a_replay_gives_again(
    tmp_path: Path,
) -> None:
    """From the store of another worker on the same topics too, killed while it was at work."""
    lines = [put("note", "document", T + 1000 * n, name="note", modified_ms=n) for n in range(5)]
    one = Backup(tmp_path / "one").init()
    published = [done["transaction"] for done in one.publish(lines)]
    other = one.copy("other", settings={"worker.batch_records_max": 1})
    with other.service() as running:
        running.wait_until(lambda: running.status()["lag"] < len(lines), "one was recorded")
        running.kill()
    for backup in (one, other):
        with backup.service() as running:
            running.wait_until_caught_up()

        states = backup.json("item", "history", ANN, "note")
        assert [state["transactions"] for state in states] == [[id] for id in published]
        for number, id in enumerate(published):
            to = tmp_path / f"{backup.root.name}-{number}"
            restore(backup, "item", ANN, "note", "--transaction", id, "--to", to)
            assert files_in(to) == ([lines[number]["state"]], [])
    assert len(set(published)) == len(lines)
