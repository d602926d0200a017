"""What SQLite says, in our words."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from streambackup.errors import BusError, StreamBackupError
from streambackup.runtime.database_space import no_space_for, primary_code

_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_FORBIDDEN = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}


@contextlib.contextmanager
def database_errors(path: Path) -> Iterator[None]:
    """Turn what the database in *path* raises into BusError, a full disk into NoSpaceError."""
    try:
        yield
    except sqlite3.Error as error:
        raise translated(error, path) from error


def translated(error: sqlite3.Error, path: Path) -> StreamBackupError:
    code = primary_code(error)
    if full := no_space_for(path, error):
        return full
    if code in _BUSY:
        return BusError(
            f"{path} is held by another process",
            hint="Let it finish, or stop it; 'fuser' on the file names it.",
        )
    if code in _DAMAGED:
        return BusError(
            f"{path} is damaged: {error}",
            hint="Stop the service and move the file aside; what it held alone becomes a gap.",
        )
    if code in _FORBIDDEN:
        return BusError(f"{path}: {error}", hint="The service's user must be able to write there.")
    return BusError(f"{path}: {error}")
