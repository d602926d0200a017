"""Answers for programs, people and pipes."""

from __future__ import annotations

import contextlib
import io

import msgspec
import pytest

from streambackup.cli.render import (
    TABLE_ROWS_MAX,
    Column,
    progress,
    write_document,
    write_list,
)
from streambackup.domain.printed import printable


class Row(msgspec.Struct):
    name: str
    size: int | None = None


COLUMNS = [
    Column[Row]("NAME", lambda row: row.name),
    Column[Row]("SIZE", lambda row: row.size),
]


def test_a_list_is_one_json_array(capsys: pytest.CaptureFixture[str]) -> None:
    write_list([Row("a", 1), Row("b")], COLUMNS, as_json=True)
    found = msgspec.json.decode(capsys.readouterr().out)
    assert found == [{"name": "a", "size": 1}, {"name": "b", "size": None}]


def test_an_empty_list_is_an_array_too(capsys: pytest.CaptureFixture[str]) -> None:
    write_list([], COLUMNS, as_json=True)
    assert msgspec.json.decode(capsys.readouterr().out) == []


def test_half_a_list_does_not_parse(capsys: pytest.CaptureFixture[str]) -> None:
    def breaks() -> object:
        yield Row("a")
        raise OSError

    with pytest.raises(OSError):
        write_list(breaks(), COLUMNS, as_json=True)  # type: ignore[arg-type]
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(capsys.readouterr().out)


def test_a_pipe_gets_tabs_and_a_heading(capsys: pytest.CaptureFixture[str]) -> None:
    write_list([Row("a", 1), Row("b")], COLUMNS, as_json=False)
    assert capsys.readouterr().out == "NAME\tSIZE\na\t1\nb\t\n"


class Terminal(io.StringIO):
    """Somebody looks at it."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_tables_that_cut_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is too wide goes on below, because ids are there to be copied."""
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    rows = [Row("a\x1b[2J" + "x" * 60, 1), *(Row(str(n)) for n in range(TABLE_ROWS_MAX))]
    with contextlib.redirect_stdout(terminal):
        write_list(rows, COLUMNS, as_json=False)
    shown = terminal.getvalue()
    assert shown.count("x") == 60 + 1
    assert "\x1b[2J" not in shown
    assert shown.count("NAME") == 2


def test_progress_is_shown_only_where_somebody_looks() -> None:
    terminal, pipe = Terminal(), io.StringIO()
    for stream, quiet in ((terminal, False), (pipe, False), (pipe, True)):
        with contextlib.redirect_stderr(stream), progress(quiet=quiet) as show:
            show("reading accounts", 3, 10)
    assert "reading accounts" in terminal.getvalue()
    assert pipe.getvalue() == ""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Grüße 🎉", "Grüße 🎉"),
        ("red\x1b[31m", r"red\x1b[31m"),
        ("a\tb\nc", r"a\tb\nc"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("\udcff", r"\udcff"),
    ],
)
def test_no_control_character_passes(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_a_document_is_json_or_lines(capsys: pytest.CaptureFixture[str]) -> None:
    write_document(Row("a"), ["name a\x07"], as_json=True)
    assert msgspec.json.decode(capsys.readouterr().out) == {"name": "a", "size": None}
    write_document(Row("a"), ["name a\x07"], as_json=False)
    assert capsys.readouterr().out == "name a\\x07\n"
