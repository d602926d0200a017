"""One item of each kind goes in as a published line and comes back out of the store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.backup import Backup

pytestmark = pytest.mark.scenario

ACCOUNT = "ann@example.org"
MAIL = b"From: bob@example.net\r\nTo: ann@example.org\r\nSubject: Lunch\r\n\r\nAt one?\r\n"
CARD = b"BEGIN:VCARD\r\nVERSION:4.0\r\nFN:Bob\r\nEND:VCARD\r\n"
GROUP = b"BEGIN:VCARD\r\nVERSION:4.0\r\nKIND:group\r\nFN:Lunch\r\nEND:VCARD\r\n"
EVENT = b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nEND:VCALENDAR\r\n"
MENU = b"Soup\nFish\n"


class Kind(NamedTuple):
    """An item of a type: its state, its content if any, and the endings of its restored files."""

    item: str
    state: dict[str, Any]
    content: bytes | None
    endings: tuple[str, ...]


KINDS = {
    "account": Kind(ACCOUNT, {"address": ACCOUNT, "display_name": "Ann"}, None, (".json",)),
    "folder": Kind("2", {"name": "Inbox", "parent": None, "use": "inbox"}, None, (".json",)),
    "message": Kind("257", {"folder": "2", "flags": ["seen"]}, MAIL, (".eml",)),
    "contact": Kind("258", {"folder": "2", "name": "Bob"}, CARD, (".vcf",)),
    "contact-group": Kind("259", {"folder": "2", "name": "Lunch"}, GROUP, (".vcf",)),
    "appointment": Kind("260", {"folder": "2", "summary": "Lunch"}, EVENT, (".ics",)),
    "task": Kind("261", {"title": "Book a table", "folder": "2"}, None, (".json",)),
    "document": Kind("262", {"name": "menu.txt", "folder": "2"}, MENU, (".txt", ".txt.json")),
}


@pytest.fixture(scope="module")
def backup(tmp_path_factory: pytest.TempPathFactory) -> Backup:
    """Holds one item of each kind."""
    backup = Backup(tmp_path_factory.mktemp("kinds") / "backup").init()
    lines: list[dict[str, Any]] = []
    files = {}
    for type, kind in KINDS.items():
        line = {"account": ACCOUNT, "item": kind.item, "type": type, "state": kind.state}
        if kind.content is not None:
            files[f"{type}.bin"] = kind.content
            line["file"] = f"{type}.bin"
        lines.append(line)
    backup.recorded(lines, files=files)
    return backup


@pytest.mark.parametrize(
    "type", [pytest.param(type, marks=pytest.mark.row("F001", part=type)) for type in KINDS]
)
def test_an_item_of_each_kind_is_kept_and_comes_back(
    type: str, backup: Backup, tmp_path: Path
) -> None:
    kind = KINDS[type]
    shown = backup.json("item", "show", ACCOUNT, kind.item)
    assert (shown["type"], shown["state"]) == (type, kind.state)

    report = backup.json(
        "restore", "item", ACCOUNT, kind.item, "--to", tmp_path / "out", "--verify"
    )
    assert (report["restored"], report["verified"], report["unrestored"]) == (1, 1, [])
    files = {
        p for p in (tmp_path / "out").rglob("*") if p.is_file() and p.parent != tmp_path / "out"
    }
    states = [json.loads(p.read_bytes()) for p in files if p.suffix == ".json"]
    assert [state["state"] for state in states] == [kind.state] * len(states)
    contents = [p.read_bytes() for p in files if p.suffix != ".json"]
    assert contents == ([] if kind.content is None else [kind.content])
    assert {ending for p in files for ending in kind.endings if p.name.endswith(ending)} == set(
        kind.endings
    )
    assert len(files) == len(kind.endings)


def test_an_account_comes_back_whole(backup: Backup, tmp_path: Path) -> None:
    report = backup.json("restore", "account", ACCOUNT, "--to", tmp_path, "--verify")
    assert (report["selected"], report["restored"], report["complete"]) == (8, 8, True)
    assert backup.json("account", "show", ACCOUNT)["items"] == dict.fromkeys(sorted(KINDS), 1)


@pytest.mark.row("F060", part="account_info")
def test_an_account_has_a_file_with_its_own_history(backup: Backup) -> None:
    (file,) = backup.path.glob("accounts/*/*/account_info")
    history = json.loads(file.read_bytes())
    assert [state["state"] for state in history] == [KINDS["account"].state]
    assert history[0]["transactions"] == [["publish", history[0]["transactions"][0][1], 1]]
