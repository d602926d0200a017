"""Scratch: a database that vanishes with its owner, for what may be too much for memory."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any

from streambackup.errors import NoSpaceError


class Scratch:
    """Tables of *schema* in a file of the system's directory for temporary ones, of which little is
    in memory. Blocking; one thread at a time.

    Raises:
        NoSpaceError: from every method, where that directory has none.
    """

    def __init__(self, *schema: str) -> None:
        self._database = sqlite3.connect("", check_same_thread=False)
        for statement in ("PRAGMA journal_mode = OFF", *schema):
            self.execute(statement)

    def execute(self, statement: str) -> None:
        with _scratch_errors():
            self._database.execute(statement)

    def add(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Execute *statement* for each of *rows*, as they come."""
        with _scratch_errors():
            self._database.executemany(statement, rows)

    def rows(self, query: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        """What *query* finds."""
        with _scratch_errors():
            yield from self._database.execute(query, values)

    def close(self) -> None:
        """Give its space back; the last reference to it does the same."""
        self._database.close()


@contextlib.contextmanager
def _scratch_errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise NoSpaceError(
            f"there is no room for temporary data: {error}",
            hint="Name a directory with more space in the environment variable SQLITE_TMPDIR.",
        ) from error
