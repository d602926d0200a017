"""Answers for programs, people and pipes."""

from __future__ import annotations

import msgspec
import pytest

from streambackup.cli.render import Column, printable, write_document, write_list


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
