"""``init``: what it makes, what it keeps, what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streambackup.cli.main import run_command
from tests.support.backup import tree_of

Init = Callable[..., tuple[int, Any, str]]


@pytest.fixture
def init(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Init:
    """Run ``init`` with options; its exit code, its answer, and what it said beside it."""

    def run(*options: object) -> tuple[int, Any, str]:
        path = ("--path", str(tmp_path / "store"))
        code = run_command(["init", *map(str, options), *path, "--json"])
        output, errors = capsys.readouterr()
        return code, msgspec.json.decode(output) if output else None, errors

    return run


def test_the_defaults_are_those_of_the_documents(init: Init, tmp_path: Path) -> None:
    code, made, _ = init()
    assert (code, made["moment_ms"], made["bus"]) == (0, 100, "embedded")
    assert made["ignored_attributes"] == ["activesync_state", "imap_state", "last_login_ms"]
    assert made["path"] == str(tmp_path / "store")
    assert len(made["generation"]) == 16


def test_repeated_it_keeps_what_was_said_the_first_time(init: Init, tmp_path: Path) -> None:
    _, made, _ = init("--moment-ms", 0, "--ignore", "seen_at", "--ignore", "device")
    before = (tmp_path / "store" / "streambackup.json").read_bytes()
    code, again, _ = init()
    assert (code, again) == (0, made)
    assert (again["moment_ms"], again["ignored_attributes"]) == (0, ["seen_at", "device"])
    assert (tmp_path / "store" / "streambackup.json").read_bytes() == before


@pytest.mark.parametrize("options", [["--moment-ms", 200], ["--ignore", "seen_at"]])
def test_what_decides_the_histories_cannot_be_changed(
    init: Init, tmp_path: Path, options: list[object]
) -> None:
    init()
    before = tree_of(tmp_path)
    code, _, errors = init(*options)
    assert (code, "fixed" in errors) == (2, True)
    assert tree_of(tmp_path) == before


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--moment-ms", -1], 2, "Must be >= 0"),
        (["--join"], 4, "is no backup path"),
        (["--join", "--moment-ms", 100], 2, "already"),
    ],
)
def test_what_it_refuses(
    init: Init, tmp_path: Path, options: list[object], code: int, message: str
) -> None:
    refused, _, errors = init(*options)
    assert (refused, message in errors) == (code, True)
    assert tree_of(tmp_path) == {}


@pytest.mark.parametrize("path", ["/proc/nothing", "file", "file/below", "loop", "x" * 300])
def test_a_path_that_can_hold_no_store_is_one_line_and_its_cure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], path: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    before = sorted(tmp_path.iterdir())
    assert run_command(["init", "--path", str(tmp_path / path)]) == 4
    line, hint = capsys.readouterr().err.splitlines()
    assert Path(path).name in line
    assert "--path names another" in hint
    assert sorted(tmp_path.iterdir()) == before
