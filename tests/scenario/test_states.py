"""Which changes make which states, from published lines to what the commands show."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from streambackup.domain.instant import format_instant
from tests.support.backup import Backup
from tests.support.running import Running

pytestmark = pytest.mark.scenario

ANN = "ann@example.org"
T = 1_700_000_000_000
MOMENT_MS = 100
MAIL, DRAFT, EDITED = b"Subject: Hi\n\nhello\n", b"Subject: a\n\n", b"Subject: a\n\nDear Bob\n"
FILES = {"mail": MAIL, "draft": DRAFT, "edited": EDITED}
LIFE: list[dict[str, Any]] = [
    {"folder": "in", "flags": [], "tags": []},
    {"folder": "in", "flags": ["seen"], "tags": []},
    {"folder": "work", "flags": ["seen"], "tags": []},
    {"folder": "work", "flags": ["flagged", "seen"], "tags": []},
    {"folder": "work", "flags": ["flagged", "seen"], "tags": ["urgent"]},
    {"folder": "bin", "flags": ["flagged", "seen"], "tags": ["urgent"]},
]
"""A mail arrives, is read, moved, flagged, tagged, and put into the trash."""


def put(item: str, time_ms: int, state: dict[str, Any], file: str) -> dict[str, Any]:
    line = {"account": ANN, "item": item, "type": "message", "time_ms": time_ms}
    return {**line, "state": state, "file": file}


def lines() -> list[dict[str, Any]]:
    folders = [
        {
            "account": ANN,
            "item": item,
            "type": "folder",
            "time_ms": T,
            "state": {"name": name, "use": use},
        }
        for item, name, use in (("in", "Inbox", "inbox"), ("bin", "Trash", "trash"))
    ]
    life = [put("mail", T + 1000 * n, state, "mail") for n, state in enumerate(LIFE)]
    edits = [
        put("draft", T + 10_000, {"folder": "in"}, "draft"),
        put("draft", T + 11_000, {"folder": "in"}, "edited"),
    ]
    end = {"account": ANN, "event": "delete", "item": "draft", "time_ms": T + 12_345}
    flags = [f"flag-{n}" for n in range(10)]
    burst = [
        put("burst", T + 20_000 + n, {"folder": "in", "flags": [flag]}, "mail")
        for n, flag in enumerate(flags)
    ]
    apart = [
        put("apart", T + 20_000 + MOMENT_MS * n, {"folder": "in", "flags": [flag]}, "mail")
        for n, flag in enumerate(flags)
    ]
    account = {"account": ANN, "item": ANN, "type": "account"}
    seen = [
        {**account, "time_ms": T + 1000 * n, "state": {"address": ANN, "last_login_ms": n}}
        for n in range(3)
    ]
    synced = [
        put(
            "synced", T + 1000 * n, {"folder": "in", "imap_state": n, "activesync_state": n}, "mail"
        )
        for n in range(3)
    ]
    return [*folders, *life, *edits, end, *burst, *apart, *seen, *synced]


@pytest.fixture(scope="module")
def backup(tmp_path_factory: pytest.TempPathFactory) -> Backup:
    backup = Backup(tmp_path_factory.mktemp("states") / "backup").init()
    backup.recorded(lines(), files=FILES)
    return backup


def states(backup: Backup, item: str) -> list[dict[str, Any]]:
    return list(backup.json("item", "history", ANN, item))


@pytest.mark.row("F002")
def test_each_change_leaves_one_complete_state_with_its_time(backup: Backup) -> None:
    shown = states(backup, "mail")
    assert [state["state"] for state in shown] == LIFE
    assert [state["start"] for state in shown] == [
        format_instant(T + 1000 * n) for n in range(len(LIFE))
    ]


@pytest.mark.row("F006")
def test_a_deletion_is_a_state_with_its_time_and_everything_stays(backup: Backup) -> None:
    *_, last = states(backup, "draft")
    assert (last["deleted"], last["start"]) == (True, format_instant(T + 12_345))
    assert (last["end"], len(states(backup, "draft"))) == (None, 3)
    for time_ms, content in ((T + 10_500, DRAFT), (T + 12_344, EDITED)):
        assert backup.ask("item", "cat", ANN, "draft", "--at", time_ms).output == content


@pytest.mark.row("F007")
def test_the_trash_is_a_folder_and_no_deletion(backup: Backup, tmp_path: Path) -> None:
    *_, last = states(backup, "mail")
    assert (last["deleted"], last["state"]["folder"]) == (False, "bin")
    window = "--since", T, "--until", T + 100_000
    report = backup.json("restore", "undelete", ANN, *window, "--to", tmp_path)
    assert report["restored"] == 1
    (restored,) = tmp_path.rglob("*.eml")
    assert restored.read_bytes() == EDITED


@pytest.mark.row("F010")
def test_each_period_has_its_own_content_and_all_come_back(backup: Backup, tmp_path: Path) -> None:
    old, new, _ = states(backup, "draft")
    assert old["digest"] != new["digest"]
    assert (old["end"], new["start"]) == (format_instant(T + 11_000),) * 2
    for state, content in ((old, DRAFT), (new, EDITED)):
        place = tmp_path / state["start"]
        words = "restore", "item", ANN, "draft", "--at", state["start"], "--to", place
        assert backup.json(*words, "--verify")["verified"] == 1
        (restored,) = place.rglob("*.eml")
        assert restored.read_bytes() == content


@pytest.mark.row("F009")
def test_changes_within_a_moment_are_one_state_and_over_several_one_each(backup: Backup) -> None:
    (burst,) = states(backup, "burst")
    assert burst["state"] == {"folder": "in", "flags": ["flag-9"]}
    assert len(burst["transactions"]) == 10
    apart = states(backup, "apart")
    assert [state["state"]["flags"] for state in apart] == [[f"flag-{n}"] for n in range(10)]


@pytest.mark.row("F011")
def test_attributes_that_no_restore_needs_make_no_state(backup: Backup) -> None:
    (account,) = backup.json("account", "history", ANN)
    assert (account["state"], len(account["transactions"])) == ({"address": ANN}, 3)
    (message,) = states(backup, "synced")
    assert message["state"] == {"folder": "in"}


def counted(running: Running) -> dict[str, float] | None:
    """What the worker counted, when it has filed all that it read."""
    found = re.findall(
        r"^streambackup_(records|entries|coalesced_transactions)_total(?:{.*actions.*})? (\S+)$",
        running.get("/metrics").decode(),
        re.MULTILINE,
    )
    counts = {name: float(value) for name, value in found}
    filed = counts["entries"] + counts["coalesced_transactions"]
    return counts if counts.get("records") == filed else None


@pytest.mark.row("M2")
def test_coalescing_writes_less_and_leaves_the_same_last_states(tmp_path: Path) -> None:
    """Against a store that keeps every change, and by the worker's own counters."""
    written = {}
    stores = {}
    for moment_ms in (0, MOMENT_MS):
        store = stores[moment_ms] = Backup(tmp_path / str(moment_ms))
        store.init("--moment-ms", moment_ms)
        with store.service() as running:
            store.publish(lines(), files=FILES)
            running.wait_until_caught_up()
            written[moment_ms] = running.wait_until(partial(counted, running), "all was filed")
    assert [written[m]["coalesced_transactions"] for m in (0, MOMENT_MS)] == [0, 9]
    assert written[MOMENT_MS]["entries"] == written[0]["entries"] - 9
    kept, coalesced = (stores[moment_ms].reader().history(ANN) for moment_ms in stores)
    assert len(kept.items["burst"].states) == 10
    assert {i: (s.state, s.digest) for i, h in kept.items.items() for s in h.states[-1:]} == {
        i: (s.state, s.digest) for i, h in coalesced.items.items() for s in h.states[-1:]
    }
