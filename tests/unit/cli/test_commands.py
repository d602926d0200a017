"""Every command against a store that real workers recorded: answers, exit codes, the audit log."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from streambackup.cli.main import run_command
from tests.support.backup import Backup, tree_of

MAIL = b"From: Shop <info@shop.example>\r\nSubject: Invoice\r\n\r\nPay.\r\n"
LATER = b"Subject: Draft\r\n\r\nbetter\r\n"
T0 = 1_795_000_000_000
STATE = {
    "folder": "in", "subject": "Invoice 7", "sender": "Shop <info@shop.example>",
    "received_ms": T0,
}  # fmt: skip


def line(item: str, time_ms: int, **fields: Any) -> dict[str, Any]:
    return {"account": "ann@example.org", "item": item, "time_ms": time_ms, **fields}


LINES = [
    line("ann@example.org", T0, type="account", state={"address": "ann@example.org"}),
    line("in", T0, type="folder", state={"name": "Inbox", "use": "inbox"}),
    line("work", T0, type="folder", state={"name": "Work", "parent": "in"}),
    line("7", T0 + 1000, type="message", state=STATE, file="mail.eml"),
    line("7", T0 + 2000, type="message", state={**STATE, "flags": ["seen"]}, file="mail.eml"),
    line("8", T0 + 3000, type="message", state={"folder": "work", "subject": "D"}, file="mail.eml"),
    line("8", T0 + 4000, type="message", state={"folder": "work", "subject": "E"}, file="later"),
    line("9", T0 + 5000, type="message", state={**STATE, "subject": "gone\x1b[2J"}, file="later"),
    line("9", T0 + 6000, event="delete"),
    line("job", T0 + 7000, type="task", state={"title": "Call", "folder": "work"}),
    {**line("7", T0, type="contact", state={"folder": "in"}), "account": "bob/../x"},
    {**line("a\nb", T0, type="document", state={"name": "x"}, file="later"), "account": "e\0v"},
    {**line(r"a\nb", T0, type="task", state={"title": "not it"}), "account": r"e\tv"},
    *(
        {
            **line(str(number), T0 + number, type="task", state={"title": "a"}),
            "account": "dora",
            "event": "put",
            "source": "mine",
            "incarnation": "00aa00aa",
            "sequence": number,
        }
        for number in (1, 3)
    ),
]


class Said(NamedTuple):
    code: int
    output: str
    errors: str

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.output)


@pytest.fixture(scope="module")
def backup(tmp_path_factory: pytest.TempPathFactory) -> Backup:
    made = Backup(tmp_path_factory.mktemp("store") / "b").init()
    made.recorded(LINES, files={"mail.eml": MAIL, "later": LATER})
    return made


@pytest.fixture
def say(backup: Backup, capfd: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Run a command in this process."""

    def run(*words: object) -> Said:
        arguments = backup.command(*words)[1:]
        code = run_command(arguments)
        return Said(code, *capfd.readouterr())

    return run


Say = Callable[..., Said]
ANN = "ann@example.org"


def items(said: Said) -> list[str]:
    assert said.code == 0, said.errors
    return [row["item"] for row in said.json]


def test_accounts_are_listed(say: Say) -> None:
    assert say("account", "list").output == (
        "ACCOUNT\nann@example.org\nbob/../x\ndora\ne\\x00v\ne\\tv\n"
    )
    long = say("account", "list", "--long", "--json").json
    assert long[0]["items"] == {"account": 1, "folder": 2, "message": 2, "task": 1}
    assert long[0]["deleted_items"] == 1


def test_an_id_that_no_command_line_can_hold_is_named_as_it_is_printed(
    say: Say, backup: Backup, tmp_path: Path
) -> None:
    assert r"e\x00v" in say("account", "list").output.splitlines()
    assert say("account", "show", r"e\x00v", "--json").json["account"] == "e\0v"
    assert items(say("item", "list", r"e\x00v", "--json")) == ["a\nb"]
    assert say("item", "show", r"e\x00v", r"a\nb", "--json").json["item"] == "a\nb"
    assert (
        base64.b64decode(say("item", "cat", r"e\x00v", r"a\nb", "--json").json["content"]) == LATER
    )
    audit = (backup.path / "audit.jsonl").read_text().splitlines()
    assert msgspec.json.decode(audit[-1])["accounts"] == ["e\0v"]
    whole = say("restore", "account", r"e\x00v", "--to", tmp_path / "whole", "--json").json
    one = say("restore", "item", r"e\x00v", r"a\nb", "--to", tmp_path / "one", "--json").json
    assert [(made["account"], made["into"], made["restored"]) for made in (whole, one)] == [
        ("e\0v", "e\0v", 1)
    ] * 2


def test_an_id_that_is_written_so_itself_is_taken_first(say: Say) -> None:
    assert say("item", "show", r"e\tv", r"a\nb", "--json").json["state"] == {"title": "not it"}


def test_an_account_as_it_was(say: Say) -> None:
    shown = say("account", "show", ANN, "--at", T0 + 5500, "--json").json
    assert shown["items"]["message"] == 3
    assert shown["state"] == {"address": ANN}
    assert "3 message" in say("account", "show", ANN, "--at", T0 + 5500).output


def test_an_accounts_own_history(say: Say) -> None:
    (state,) = say("account", "history", ANN, "--json").json
    assert state["state"] == {"address": ANN}


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--type", "message"], ["7", "8"]),
        (["--folder", "Inbox/Work"], ["8", "job"]),
        (["--from", "INFO@shop"], ["7"]),
        (["--subject", "invoice"], ["7"]),
        (["--since", T0, "--until", T0 + 1], ["7"]),
        (["--type", "message", "--at", T0 + 5500], ["7", "8", "9"]),
        (["--deleted-between", T0, "now"], ["9"]),
        (["--type", "message", "--deleted"], ["7", "8", "9"]),
        (["--subject", "nothing like it"], []),
    ],
)
def test_items_are_found_by_what_is_in_them(
    say: Say, options: list[object], found: list[str]
) -> None:
    assert items(say("item", "list", ANN, *options, "--json")) == found


def test_nothing_of_a_mail_moves_a_cursor(say: Say) -> None:
    assert "\x1b" not in say("item", "list", ANN, "--deleted").output


@pytest.mark.row("F137")
@pytest.mark.row("F003")
def test_a_history_is_the_array_of_all_states_with_their_blobs(say: Say, backup: Backup) -> None:
    states = say("item", "history", ANN, "8", "--json").json
    assert [state["state"]["subject"] for state in states] == ["D", "E"]
    assert states[0]["end"] == states[1]["start"]
    assert states[1]["end"] is None
    paths = [backup.path / state["blob"] for state in states]
    assert [path.is_file() for path in paths] == [True, True]
    assert len({state["blob"] for state in states}) == 2


@pytest.mark.row("F136")
def test_an_item_its_state_and_its_content(say: Say) -> None:
    shown = say("item", "show", ANN, "8", "--json").json
    assert (shown["state"]["subject"], shown["content"]) == ("E", "stored")
    catted = say("item", "cat", ANN, "8", "--json").json
    assert base64.b64decode(catted["content"]) == LATER


def test_a_past_is_an_instant_or_a_transaction(say: Say) -> None:
    first = say("item", "history", ANN, "8", "--json").json[0]["transactions"][0]
    for past in (["--at", T0 + 3500], ["--transaction", first]):
        catted = say("item", "cat", ANN, "8", *past, "--json").json
        assert base64.b64decode(catted["content"]) == MAIL


def test_content_is_written_byte_for_byte(backup: Backup) -> None:
    """In a process of its own, because these bytes are no text."""
    assert backup.ask("item", "cat", ANN, "7").output == MAIL


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["account", "show", "ann@example.com"], "ann@example.org"),
        (["item", "show", "ann@example.or", "7"], "ann@example.org"),
        (["item", "show", ANN, "wrok"], "'work'"),
        (["item", "cat", ANN, "job"], "item show"),
        (["item", "show", ANN, "7", "--at", T0], "first seen"),
        (["item", "show", ANN, "7", "--transaction", "publish:00000000:1"], "transactions"),
        (["item", "list", ANN, "--folder", "inbox/wrok"], "'Inbox/Work'"),
        (["restore", "folder", ANN, "Inbox/Wrok", "--to", "x"], "Inbox/Work"),
    ],
)
def test_what_does_not_exist_is_answered_with_the_nearest(
    say: Say, words: list[object], hint: str
) -> None:
    said = say(*words)
    assert (said.code, said.output) == (3, "")
    line, hinted = said.errors.splitlines()
    assert line.startswith("streambackup: ")
    assert hint in hinted


@pytest.mark.parametrize(
    "words",
    [
        ["account", "show", "\udcff"],
        ["item", "list", "\udcff"],
        ["item", "cat", ANN, "\udcff"],
        ["restore", "account", "\udcff", "--to", "x"],
        ["restore", "account", ANN, "--to", "\udcff"],
        ["restore", "account", ANN, "--into", "\udcff", "--to", "x"],
    ],
)
def test_ids_that_are_no_text_are_refused(say: Say, words: list[object]) -> None:
    said = say(*words)
    assert said.code == 2
    assert "UTF-8" in said.errors


@pytest.mark.parametrize(
    "words", [["--since", "now", "--until", "2h ago"], ["--deleted-between", "now", "now"]]
)
def test_a_window_that_ends_before_it_begins_is_refused(say: Say, words: list[str]) -> None:
    said = say("item", "list", ANN, *words)
    assert (said.code, said.output) == (2, "")
    assert "is not before" in said.errors


def test_nothing_is_restored_into_the_backup_path(say: Say, backup: Backup) -> None:
    before = tree_of(backup.path)
    said = say("restore", "account", ANN, "--to", backup.path / "back")
    assert said.code == 12
    assert "lies in the backup path" in said.errors
    assert tree_of(backup.path) == before


def test_a_directory_is_no_lines_to_publish(say: Say, tmp_path: Path) -> None:
    said = say("publish", tmp_path)
    assert said.code == 2
    assert "Is a directory" in said.errors


def test_a_dry_run_shows_the_plan_and_does_nothing(say: Say, tmp_path: Path) -> None:
    said = say("restore", "account", ANN, "--to", tmp_path / "new", "--dry-run")
    assert "would restore 6 items" in said.output
    plan = say("restore", "account", ANN, "--to", tmp_path / "new", "--dry-run", "--json").json
    assert {item["item"] for item in plan["items"]} == {ANN, "in", "work", "7", "8", "job"}
    assert not (tmp_path / "new").exists()


def test_a_restore_says_what_it_did_and_does_it_once(say: Say, tmp_path: Path) -> None:
    words = ("restore", "account", ANN, "--to", tmp_path, "--verify", "--json")
    first, second = say(*words), say(*words)
    assert (first.code, second.code) == (0, 0)
    assert (first.json["restored"], first.json["skipped"]) == (6, 0)
    assert (second.json["restored"], second.json["skipped"]) == (0, 6)
    assert first.json["complete"]
    assert {MAIL, LATER} <= set(tree_of(tmp_path).values())


def test_what_a_place_cannot_hold_is_told_with_its_own_exit_code(say: Say, tmp_path: Path) -> None:
    said = say("restore", "item", ANN, "job", "--to", tmp_path, "--form", "maildir", "--json")
    assert said.code == 14
    assert [one["failure"] for one in said.json["unrestored"]] == ["invalid"]
    assert "1 of 1 item not restored" in said.errors


def test_an_account_in_doubt_is_restored_and_said_to_be_in_doubt(say: Say, tmp_path: Path) -> None:
    """Transaction 2 of a source never came."""
    shown = say("account", "show", "dora", "--json").json
    assert len(shown["in_doubt"]) == 1
    assert "in doubt" in say("account", "show", "dora").output
    said = say("restore", "account", "dora", "--to", tmp_path, "--json")
    assert (said.code, said.json["restored"], said.json["complete"]) == (19, 2, True)
    assert "in doubt" in said.errors
    before = say("restore", "account", "dora", "--to", tmp_path, "--at", T0 + 2, "--json")
    assert (before.code, before.json["doubts"]) == (0, [])


def test_undelete_takes_a_window(say: Say, tmp_path: Path) -> None:
    words = ("restore", "undelete", ANN, "--to", tmp_path, "--json")
    assert say(*words, "--since", T0, "--until", T0 + 6000).json["restored"] == 0
    assert say(*words, "--since", T0 + 6000).json["restored"] == 1
    assert say(*words, "--since", "now", "--until", T0).code == 2


def test_into_another_account(say: Say, tmp_path: Path) -> None:
    said = say("restore", "item", ANN, "7", "--into", "carl", "--to", tmp_path, "--json")
    assert said.json["into"] == "carl"
    assert MAIL in tree_of(tmp_path / "carl").values()


def test_without_a_place_the_watched_maildir_is_named_as_missing(say: Say) -> None:
    said = say("restore", "item", ANN, "7")
    assert said.code == 2
    assert "--to" in said.errors


def test_check_and_fingerprint(say: Say, backup: Backup, tmp_path: Path) -> None:
    assert say("check").output.endswith("0 faults, 0 notes\n")
    own = say("fingerprint", "--json").json["fingerprint"]
    copy = backup.copy("copy")
    compared = say("fingerprint", "--compare", copy.path, "--json")
    assert (compared.code, compared.json) == (0, {"fingerprint": own, "equal": True})
    other = Backup(tmp_path / "other").init()
    differs = say("fingerprint", "--compare", other.path)
    assert differs.code == 15
    assert ANN in differs.errors


def test_status_without_the_bus_tells_what_the_store_knows(say: Say) -> None:
    here = say("status", "--json").json
    away = ("--set", "bus.kind=kafka", "--set", "bus.kafka.bootstrap_servers=127.0.0.1:1")
    said = say("status", "--json", *away)
    assert said.code == 7
    assert [line[:13] for line in said.errors.splitlines()] == ["streambackup:", "  Check bus.k"]
    assert said.json["lag"] is None
    known = ("generation", "last_transaction", "accounts", "blobs", "disk_total_bytes")
    assert {name: said.json[name] for name in known} == {name: here[name] for name in known}
    positions = [(at["topic"], at["partition"], at["position"]) for at in said.json["partitions"]]
    assert positions == [(at["topic"], at["partition"], at["end"]) for at in here["partitions"]]
    assert [w for w in said.json["warnings"] if "the bus cannot be asked" in w]
    assert "lag               not known" in say("status", *away).output


def test_status_without_a_service(say: Say) -> None:
    status = say("status", "--json").json
    assert (status["running"], status["lag"], status["accounts"]) == (False, 0, 5)
    assert status["blobs"] == 2
    assert any("no service" in warning for warning in status["warnings"])
    assert "not running" in say("status").output


def test_topics_are_described(say: Say) -> None:
    names = {topic["name"] for topic in say("topic", "describe", "--json").json}
    mailbox = {f"mailbox.{name}" for name in ("transactions", "blobs", "inventory", "quarantine")}
    assert names == {*mailbox, "streambackup.config"}


def test_who_read_what_stands_in_the_audit_log(say: Say, backup: Backup, tmp_path: Path) -> None:
    say("item", "show", ANN, "7", "--at", T0 + 1500)
    say("restore", "item", ANN, "7", "--to", tmp_path)
    say("item", "cat", ANN, "job")
    lines = (backup.path / "audit.jsonl").read_bytes().splitlines()[-6:]
    told = [msgspec.json.decode(line) for line in lines]
    commands = ["item show"] * 2 + ["restore item"] * 2 + ["item cat"] * 2
    assert [one["command"] for one in told] == commands
    assert [one["outcome"].split()[0] for one in told] == [
        "begun", "done", "begun", "restored", "begun", "failed:",
    ]  # fmt: skip
    assert told[0]["arguments"] == {"at": str(T0 + 1500)}
    assert (told[0]["accounts"], told[0]["items"]) == ([ANN], ["7"])
    assert all(one["who"]["login"] for one in told)


def test_commands_that_show_no_content_leave_no_line(say: Say, backup: Backup) -> None:
    log = backup.path / "audit.jsonl"
    before = log.read_bytes() if log.exists() else b""
    for words in (["status"], ["check"], ["fingerprint"], ["account", "list"]):
        say(*words)
    assert (log.read_bytes() if log.exists() else b"") == before


@pytest.mark.row("F095")
def test_check_runs_on_any_copy_and_writes_nothing(say: Say, backup: Backup) -> None:
    copy = backup.copy("checked")
    before = tree_of(copy.path)
    said = say("check", "--path", copy.path, "--json")
    assert (said.code, said.json["findings"]) == (0, [])
    assert tree_of(copy.path) == before
