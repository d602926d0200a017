"""The frame of the command line: exit codes, one-line errors, nothing imported without need."""

from __future__ import annotations

import contextlib
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cyclopts import App

from streambackup.cli.main import BROKEN_PIPE_EXIT_CODE, COMMANDS, NOUNS, run_command

PROGRAM = Path(sys.executable).with_name("streambackup")


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "streambackup.toml"
    config.write_text(f"[store]\npath = '{tmp_path / 'nothing'}'\n")
    monkeypatch.setenv("STREAMBACKUP_CONFIG", str(config))


def errors_of(
    capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, str, str, list[str]]:
    """Exit code, standard output, the error's line and the hints below it."""
    code = run_command(arguments)
    output, errors = capsys.readouterr()
    first, *hints = errors.splitlines() or [""]
    return code, output, first, hints


def test_help_and_version_are_no_errors(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["--help"]) == 0
    assert "account" in capsys.readouterr().out
    assert run_command(["--version"]) == 0
    assert capsys.readouterr().out == "0.1.0\n"


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_has_a_module_a_help_and_json(
    words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command([*words.split(), "--help"]) == 0
    shown = capsys.readouterr().out
    assert "--json" in shown
    attribute = words.replace(" ", "_")
    command = getattr(importlib.import_module(f"streambackup.cli.{attribute}"), attribute)
    first = command.__doc__.partition("\n")[0].removesuffix(".")
    assert first.startswith(COMMANDS[words].removesuffix("."))


def test_every_noun_has_verbs() -> None:
    assert {words.split()[0] for words in COMMANDS if " " in words} == set(NOUNS)


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["acount"], "acount", '"account"'),
        (["item", "lst"], "lst", '"list"'),
        (["item", "list", "a", "--form", "x"], "--form", "--from"),
        (["item", "list", "a", "--type", "mesage"], "mesage", '"message"'),
        (["item", "list"], "ACCOUNT", "--help"),
        (["item", "list", "a", "b"], "b", "--help"),
        (["item", "list", "a", "--at"], "--at", "--help"),
        (["item", "list", "a", "--at", "soon"], "'soon'", "'2h ago'"),
        (["item", "list", "a", "--at", "now", "--deleted-between", "1h ago", "now"], "--at", "one"),
        (["item", "show", "a", "b", "--transaction", "7"], "'7'", "item history"),
        (["item", "list", "a", "--set", "store.pth=x"], "store.pth", "store.path"),
    ],
)
def test_what_cannot_be_asked_gets_one_line_and_what_was_meant(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str, hint: str
) -> None:
    code, output, line, hints = errors_of(capsys, *arguments)
    assert (code, output) == (2, "")
    assert line.startswith("streambackup: ")
    assert message in line
    assert len(hints) == 1
    assert hint in hints[0]


def test_an_error_of_ours_has_its_own_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, line, hints = errors_of(capsys, "account", "list")
    assert code == 4
    assert "is no backup path" in line
    assert "streambackup init" in hints[0]


def test_a_time_without_zone_is_read_in_the_local_one_and_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, _, line, _ = errors_of(capsys, "item", "list", "a", "--at", "2026-11-21 14:03")
    assert "time zone" in line


def failing(error: BaseException) -> App:
    """A command line whose only command fails in a way that none of ours should."""

    def fail(*, debug: bool = False) -> None:
        raise error

    app = App(result_action="return_value", suppress_keyboard_interrupt=False)
    app.default(fail)
    return app


def test_a_bug_is_one_line_without_a_trace(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command([], failing(RuntimeError("a\nb"))) == 1
    line, hint = capsys.readouterr().err.splitlines()
    assert line == "streambackup: unexpected RuntimeError: a b"
    assert "--debug" in hint


def test_debug_shows_where_a_bug_is() -> None:
    with pytest.raises(RuntimeError):
        run_command(["--debug"], failing(RuntimeError("a")))


def test_interrupted_by_the_user(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command([], failing(KeyboardInterrupt())) == 130
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.parametrize(
    "module", ["streambackup.cli.main", "cyclopts", "msgspec", "streambackup.cli.item_list"]
)
def test_interrupted_while_the_program_loads_it_ends_in_one_line(module: str) -> None:
    """Ctrl-C at the very moment in which *module* is asked for."""
    code = (
        "import os, runpy, signal, sys\n"
        # A shell that put the tests into the background has us ignore it.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}:\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
        f"sys.argv[1:] = ['item', 'list', 'a']\n"
        f"runpy.run_path({str(PROGRAM)!r}, run_name='__main__')\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 130
    assert ended.stderr == "streambackup: interrupted; what was done so far is consistent\n"
    assert ended.stdout == ""


def test_a_reader_that_went_away_is_no_failure_to_talk_about() -> None:
    """``streambackup ... | true``, with a real pipe."""
    code = (
        "import sys\n"
        "from cyclopts import App\n"
        "from streambackup.cli.main import run_command\n"
        "from streambackup.cli.render import write_line\n"
        "app = App(result_action='return_value')\n"
        "app.default(lambda: write_line('x' * 100_000))\n"
        "sys.exit(run_command([], app))\n"
    )
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(
        [sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (BROKEN_PIPE_EXIT_CODE, b"")


def test_a_command_loads_only_what_it_needs() -> None:
    """Reading one item must not wait for the parts that only the service needs."""
    code = (
        "import sys\n"
        "from streambackup.cli.main import run_command\n"
        "run_command(['item', 'cat', 'a', 'b'])\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(ended.stdout.split())
    needless = {"aiohttp", "aiokafka", "prometheus_client", "rich", "sqlite3", "structlog"}
    assert loaded & (needless | {"asyncio"}) == set()
    assert "msgspec" in loaded


@pytest.mark.parametrize(
    "words",
    [
        ["init", "--path", ""],
        ["status", "--config", ""],
        ["publish", ""],
        ["restore", "account", "ann@example.org", "--to", ""],
        ["fingerprint", "--compare", ""],
    ],
)
def test_an_empty_path_is_not_the_current_directory(words: list[str], tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with contextlib.chdir(empty):
        assert run_command(words) == 2
    assert list(empty.iterdir()) == []
