"""Whether a database has no space left.

SQLite says of a full file system that it is full, of a used-up quota only that a write failed.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from pathlib import Path

from streambackup.errors import NoSpaceError, StoreError
from streambackup.runtime.disk import storage_errors

_PRIMARY_CODE = 0xFF  # extended result codes carry the primary one in their low byte
_TRIED_BYTES = 64 * 1024


def primary_code(error: sqlite3.Error) -> int:
    """SQLite's result code without its details; 0 where *error* has none."""
    return getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE


def no_space_for(path: Path, error: sqlite3.Error) -> NoSpaceError | None:
    """The error to raise where the database at *path* raised *error* for want of space."""
    code = primary_code(error)
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _takes_none(path.parent)):
        return NoSpaceError(
            f"no space left for {path}", hint="Free some space; the work resumes by itself."
        )
    return None


def _takes_none(directory: Path) -> bool:
    """Whether a file of our own there would meet the same."""
    try:
        with storage_errors(directory), tempfile.TemporaryFile(dir=directory) as file:
            os.pwrite(file.fileno(), bytes(_TRIED_BYTES), 0)
            os.fsync(file.fileno())
    except NoSpaceError:
        return True
    except (StoreError, OSError):
        return False
    return False
