"""The audit log: written before, appended only, private, without secrets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from streambackup.errors import NoSpaceError, StoreError, TargetError
from streambackup.runtime.audit import ITEMS_NAMED_MAX, AuditLog, Concerned, Who
from streambackup.runtime.disk import Disk

WHO = Who(0, "root", "alice")


class StoppedClock:
    def now_ms(self) -> int:
        return 1_795_269_802_123

    def monotonic_s(self) -> float:
        return 0.0


def audit_log(path: Path) -> AuditLog:
    return AuditLog(path, disk=Disk(), clock=StoppedClock(), who=WHO)


def lines(path: Path) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]


def test_who_what_and_when_stand_there_before_the_body_runs(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with audit_log(path).recorded("item cat", {"at": "now"}, Concerned(["a"], ["7"])):
        (line,) = lines(path)
    assert line.pop("id")
    assert line == {
        "when": "2026-11-21T14:03:22.123Z",
        "who": {"uid": 0, "login": "root", "sudo_user": "alice"},
        "command": "item cat",
        "arguments": {"at": "now"},
        "outcome": "begun",
        "accounts": ["a"],
        "items": ["7"],
        "items_count": 1,
    }


def test_the_end_has_the_same_id_and_what_it_came_to(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with audit_log(path).recorded("restore folder", {}, Concerned(["a"])) as audited:
        audited.outcome = "restored 2"
        audited.concerned = Concerned(["a"], ["1", "2"])
    begun, ended = lines(path)
    assert begun["id"] == ended["id"]
    assert (ended["outcome"], ended["items"]) == ("restored 2", ["1", "2"])


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (TargetError("no such place"), "failed: no such place"),
        (KeyError("bug"), "failed: KeyError"),
        (KeyboardInterrupt(), "interrupted"),
    ],
)
def test_a_failure_is_written_and_goes_on(
    tmp_path: Path, error: BaseException, outcome: str
) -> None:
    path = tmp_path / "audit.jsonl"
    with (
        pytest.raises(type(error)),
        audit_log(path).recorded("item cat", {}, Concerned()),
    ):
        raise error
    assert lines(path)[-1]["outcome"] == outcome


def test_lines_are_only_ever_added_and_private(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b"{}\n")
    with audit_log(path).recorded("item cat", {}, Concerned()):
        pass
    assert path.read_bytes().startswith(b"{}\n")
    assert len(lines(path)) == 3
    fresh = tmp_path / "fresh.jsonl"
    with audit_log(fresh).recorded("item cat", {}, Concerned()):
        pass
    assert fresh.stat().st_mode & 0o777 == 0o600


def test_secrets_never_reach_it(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    arguments = {"api_token": "hunter2", "set": {"password": ["hunter2"]}}
    with audit_log(path).recorded("item cat", arguments, Concerned()):
        pass
    assert b"hunter2" not in path.read_bytes()


def test_arguments_of_any_kind_are_written(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    arguments = {"to": Path("/a"), "folder": "\udcff", "deleted": True, "between": ("a", "b")}
    with audit_log(path).recorded("item list", arguments, Concerned()):
        pass
    assert lines(path)[0]["arguments"] == {
        "to": "/a",
        "folder": "\\udcff",
        "deleted": True,
        "between": ["a", "b"],
    }


def test_very_many_items_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    many = [str(number) for number in range(ITEMS_NAMED_MAX + 5)]
    with audit_log(path).recorded("restore account", {}, Concerned(["a"], many)):
        pass
    line = lines(path)[0]
    assert (len(line["items"]), line["items_count"]) == (ITEMS_NAMED_MAX, ITEMS_NAMED_MAX + 5)


def test_nothing_is_shown_when_it_cannot_be_written(tmp_path: Path) -> None:
    shown = False
    log = audit_log(tmp_path / "missing" / "audit.jsonl")
    with pytest.raises(StoreError) as caught, log.recorded("item cat", {}, Concerned()):
        shown = True
    assert not shown
    assert "No such file or directory" in caught.value.message
    assert caught.value.hint is not None
    assert "store.audit_path" in caught.value.hint


def test_a_full_disk_is_told_as_such() -> None:
    log = audit_log(Path("/dev/full"))
    with pytest.raises(NoSpaceError, match="nothing is shown") as caught:
        log.recorded("item list", {}, Concerned()).__enter__()
    assert caught.value.exit_code == 6
    assert "Free some space" in (caught.value.hint or "")


@pytest.mark.parametrize("failing", [False, True])
def test_where_only_the_end_cannot_be_written_it_does_not_say_that_nothing_was_shown(
    tmp_path: Path, failing: bool
) -> None:
    path = tmp_path / "audit" / "audit.jsonl"
    path.parent.mkdir()
    recorded = audit_log(path).recorded("item cat", {}, Concerned(["a"]))
    recorded.__enter__()
    path.unlink()
    path.mkdir()
    error = TargetError("the disk is gone") if failing else None
    with pytest.raises(StoreError, match="does not say how this ended") as caught:
        recorded.__exit__(type(error) if error else None, error, None)

    assert "nothing is shown" not in caught.value.message
