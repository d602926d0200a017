"""The digest index: which digests a blob partition's journal says are stored. A cache,
rebuilt from the journal.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from streambackup.errors import StoreError
from streambackup.journal.payload import Blobs
from streambackup.runtime.database_space import no_space_for
from streambackup.runtime.disk import FILE_MODE, storage_errors

FORMAT = 2
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS digests (
    digest TEXT PRIMARY KEY, size INTEGER NOT NULL, stored_size INTEGER NOT NULL,
    last_offset INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS given_up (
    digest TEXT NOT NULL, upload TEXT NOT NULL, first_offset INTEGER NOT NULL,
    PRIMARY KEY (digest, upload)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS applied (segment TEXT PRIMARY KEY, bytes INTEGER NOT NULL) WITHOUT ROWID;
PRAGMA user_version = {FORMAT};
"""
_LOOK_UP_AT_ONCE = 500


class DigestIndex:
    """Blocking; one thread at a time.

    Never synced: what a crash takes from it, the journal gives back.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        with self._errors():
            try:
                self._database = self._open()
            except sqlite3.OperationalError:  # the disk is full, say: no fault of the file
                raise
            except sqlite3.DatabaseError:
                file.unlink(missing_ok=True)
                self._database = self._open()

    def _open(self) -> sqlite3.Connection:
        with storage_errors(self._file):  # SQLite gives the files beside it the mode of this one.
            os.close(os.open(self._file, os.O_RDWR | os.O_CREAT, FILE_MODE))
        database = sqlite3.connect(self._file, isolation_level=None, check_same_thread=False)
        try:
            _prepare(database)
        except sqlite3.DatabaseError:
            database.close()
            raise
        return database

    def known(self, digests: Sequence[str]) -> set[str]:
        """Those of *digests* that are stored."""
        found = set[str]()
        with self._errors():
            for at in range(0, len(digests), _LOOK_UP_AT_ONCE):
                some = digests[at : at + _LOOK_UP_AT_ONCE]
                marks = ",".join("?" * len(some))
                query = f"SELECT digest FROM digests WHERE digest IN ({marks})"  # noqa: S608
                found.update(row[0] for row in self._database.execute(query, some))
        return found

    def applied(self) -> dict[str, int]:
        """Segments of the journal, and how many of their bytes the index holds."""
        with self._errors():
            rows = self._database.execute("SELECT segment, bytes FROM applied")
            return {row[0]: row[1] for row in rows}

    def given_up(self, digest: str, upload: str) -> int | None:
        """Where an upload began that the position went past; None where no such one is known."""
        query = "SELECT first_offset FROM given_up WHERE digest = ? AND upload = ?"
        with self._errors():
            row = self._database.execute(query, (digest, upload)).fetchone()
        return None if row is None else int(row[0])

    def apply(self, batches: Sequence[Blobs], segment: str, size: int) -> None:
        """Take over what the journal's *segment* says up to *size* bytes."""
        with self._errors(), self._transaction():
            for blobs in batches:
                self._apply(blobs)
            self._database.execute(
                "INSERT INTO applied VALUES (?, ?) ON CONFLICT (segment) DO UPDATE SET"
                " bytes = excluded.bytes",
                (segment, size),
            )

    def _apply(self, blobs: Blobs) -> None:
        run = self._database.executemany
        run(
            "INSERT INTO digests VALUES (?, ?, ?, ?) ON CONFLICT (digest) DO UPDATE SET"
            " last_offset = max(last_offset, excluded.last_offset)",
            [(blob.digest, blob.size, blob.stored_size, blob.offset) for blob in blobs.stored],
        )
        run(
            "UPDATE digests SET last_offset = max(last_offset, ?) WHERE digest = ?",
            [(blob.offset, blob.digest) for blob in blobs.met],
        )
        run(
            "INSERT OR REPLACE INTO given_up VALUES (?, ?, ?)",
            [(one.digest, one.upload, one.first_offset) for one in blobs.given_up],
        )
        run("DELETE FROM given_up WHERE digest = ?", [(blob.digest,) for blob in blobs.stored])

    def close(self) -> None:
        self._database.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, FileNotFoundError) as error:
            if isinstance(error, sqlite3.Error) and (full := no_space_for(self._file, error)):
                raise full from error
            raise StoreError(
                f"the digest index {self._file} failed: {error}",
                hint="It is a cache: stop the service, delete the file, start again.",
            ) from error


def _read_only(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)


def stored_totals(file: Path) -> tuple[int, int, int]:
    """Blobs in the index *file*, their bytes, and their bytes as stored. Beside its owner, who may
    be at work or out of space: nothing is written. An index that cannot be read counts nothing.
    """
    query = "SELECT count(*), coalesce(sum(size), 0), coalesce(sum(stored_size), 0) FROM digests"
    try:
        with contextlib.closing(_read_only(file)) as database:
            row = database.execute(query).fetchone()
    except sqlite3.DatabaseError:
        return 0, 0, 0
    return int(row[0]), int(row[1]), int(row[2])


def _prepare(database: sqlite3.Connection) -> None:
    (found,) = database.execute("PRAGMA user_version").fetchone()
    if found not in {0, FORMAT}:
        raise sqlite3.DatabaseError(f"the index is of format {found}")
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = OFF")
    database.executescript(_SCHEMA)
