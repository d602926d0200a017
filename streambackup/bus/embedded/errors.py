"""What SQLite says, in our words."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from streambackup.errors import BusError, NoSpaceError, StreamBackupError

_PRIMARY_CODE = 0xFF  # extended result codes carry the primary one in their low byte
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
    code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE
    if code == sqlite3.SQLITE_FULL:
        return NoSpaceError(
            f"no space left for {path}", hint="Free some space; the work resumes by itself."
        )
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
