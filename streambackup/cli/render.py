"""Answers: JSON for programs, tables for people, tab-separated lines for pipes.

Nothing that came with a mail reaches a terminal as a control character.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

import msgspec

from streambackup.domain.instant import format_instant
from streambackup.domain.printed import printable

T = TypeVar("T")

TABLE_ROWS_MAX = 500
"""A longer list becomes several tables, so that it is never held whole."""


class Column(NamedTuple, Generic[T]):
    """``value`` gives the cell's text; None is an empty cell."""

    title: str
    value: Callable[[T], object]


def write_list(rows: Iterable[T], columns: Sequence[Column[T]], *, as_json: bool) -> None:
    """Print *rows* as they come: one JSON array, a table on a terminal, else lines with tabs."""
    if as_json:
        array = JsonArray()
        for row in rows:
            array.add(row)
        array.end()
    elif sys.stdout.isatty():
        _write_tables(rows, columns)
    else:
        write_line("\t".join(column.title for column in columns))
        for row in rows:
            write_line("\t".join(cell(column.value(row)) for column in columns))


def write_document(document: object, lines: Iterable[str], *, as_json: bool) -> None:
    """Print one thing: *document* in JSON, or *lines* for people."""
    if as_json:
        write_line(msgspec.json.format(_encode(document)).decode())
    else:
        for line in lines:
            write_line(printable(line))


def write_json_line(document: object) -> None:
    """Print one of several things, each on a line of its own, as soon as it is known."""
    write_line(_encode(document).decode())
    sys.stdout.flush()


def write_line(line: str) -> None:
    sys.stdout.write(line + "\n")


def note(text: str) -> None:
    """Tell people something beside the answer."""
    sys.stderr.write(f"streambackup: {printable(text)}\n")


def cell(value: object) -> str:
    """A value as a table shows it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else ""
    return printable(str(value))


def instant(time_ms: int | None) -> str | None:
    """A time as a table shows it."""
    return None if time_ms is None else format_instant(time_ms)


@contextlib.contextmanager
def progress(*, quiet: bool) -> Iterator[Callable[[str, int, int | None], None]]:
    """Show how far a long command is; the body calls the function given with what is being done,
    how many are, and of how many if that is known.

    Only where somebody looks: standard error is a terminal, and not *quiet*.
    """
    if quiet or not sys.stderr.isatty():
        yield lambda what, done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    line = "{task.description} {task.completed}", "{task.fields[total_shown]}"
    columns = TextColumn(line[0]), TextColumn(line[1]), BarColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None, total_shown="")

        def show(what: str, done: int, total: int | None) -> None:
            shown = "" if total is None else f"of {total}"
            bar.update(task, description=what, completed=done, total=total, total_shown=shown)

        yield show


class JsonArray:
    """A JSON array that is printed as it grows.

    It is closed only at its true end, so that half an answer does not parse.
    """

    def __init__(self) -> None:
        self._separator = "["

    def add(self, row: object) -> None:
        sys.stdout.write(f"{self._separator}\n{_encode(row).decode()}")
        self._separator = ","

    def end(self) -> None:
        write_line("[]" if self._separator == "[" else "\n]")


def _write_tables(rows: Iterable[T], columns: Sequence[Column[T]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    remaining = iter(rows)
    while part := list(itertools.islice(remaining, TABLE_ROWS_MAX)):
        table = Table(box=None, header_style="bold")
        for column in columns:
            table.add_column(column.title, overflow="fold")
        for row in part:
            table.add_row(*[Text(cell(column.value(row))) for column in columns])
        console.print(table)


def _encode(value: object) -> bytes:
    return msgspec.json.encode(value, enc_hook=str)
