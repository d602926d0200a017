"""The outbox's file: what a source remembers, what it last said of each item, and what waits for
the bus.

One SQLite file per source name, used by one process at a time. Every write is one transaction,
durable when its call returns. All calls block; callers hand them to threads.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from streambackup.errors import NoSpaceError, StoreBusyError, StoreError
from streambackup.runtime.database_space import no_space_for, primary_code
from streambackup.runtime.disk import FILE_MODE, Disk, storage_errors

_FORMAT = 1
_SETTINGS = (
    "PRAGMA locking_mode = EXCLUSIVE",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
)
_TABLES = (
    "CREATE TABLE outbox (format INTEGER, source TEXT, incarnation TEXT)",
    "CREATE TABLE account (number INTEGER PRIMARY KEY, id TEXT UNIQUE, sequence INTEGER)",
    "CREATE TABLE memory (account INTEGER, key TEXT, value BLOB, PRIMARY KEY (account, key))"
    " WITHOUT ROWID",
    "CREATE TABLE item (account INTEGER, id TEXT, digest TEXT, checksum BLOB,"
    " PRIMARY KEY (account, id)) WITHOUT ROWID",
    "CREATE INDEX item_digest ON item (digest)",
    "CREATE TABLE queue (number INTEGER PRIMARY KEY AUTOINCREMENT, account TEXT, event BLOB)",
)
_SAID = (
    "SELECT item.id, digest, checksum FROM item JOIN account ON account = number"
    " WHERE account.id = ? AND item.id = ?"
)
_REMEMBERED = (
    "SELECT key, value FROM memory JOIN account ON account = number"
    " WHERE account.id = ? AND key = ?"
)
_REMEMBERED_BETWEEN = (
    "SELECT key, value FROM memory JOIN account ON account = number"
    " WHERE account.id = ? AND key > ? AND key < ? ORDER BY key LIMIT ?"
)


class Said(NamedTuple):
    """What was last said of an item: its digest, and a checksum over all else."""

    digest: str | None
    checksum: bytes


class Queued(NamedTuple):
    """An event that waits for the bus. Numbers rise in the order in which events were given."""

    number: int
    account: str
    event: bytes


class Changes(msgspec.Struct):
    """One commit.

    ``said`` and ``memory`` go by account and item or key, None for what is gone. Of the accounts in
    ``silenced`` nothing that was said before counts any more.
    """

    events: list[tuple[str, bytes]] = []
    sequences: dict[str, int] = {}
    silenced: set[str] = set()
    said: dict[tuple[str, str], Said | None] = {}
    memory: dict[tuple[str, str], bytes | None] = {}


class Database:
    """The outbox of *source* in *directory*, made with an incarnation of its own if absent.

    Raises:
        StoreBusyError: another process uses it. StoreError: it is damaged, or not this source's.
        NoSpaceError: also from every later write, which then has changed nothing.
    """

    def __init__(self, directory: Path, source: str) -> None:
        self.path = directory / f"outbox-{source}.sqlite"
        self._lock = threading.Lock()
        self._closed = False
        self._make_file()
        self._connection = sqlite3.connect(
            self.path, timeout=0, isolation_level=None, check_same_thread=False
        )
        try:
            self.incarnation = self._open(source)
        except BaseException:
            self._connection.close()
            raise

    def _make_file(self) -> None:
        """Readable by its owner alone, as SQLite would not make it."""
        try:
            Disk().make_directories(self.path.parent)
            with storage_errors(self.path):
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, FILE_MODE))
        except NoSpaceError:
            raise
        except StoreError as error:
            raise StoreError(
                f"the outbox cannot be written: {error.message}",
                hint="This user needs all rights in the state directory; "
                "store.state_path names another.",
            ) from error

    def _open(self, source: str) -> str:
        for setting in _SETTINGS:
            self._look_up(setting, [()])
        with self._transaction() as run:
            if not run("SELECT 1 FROM sqlite_master").fetchone():
                for table in _TABLES:
                    run(table)
                run("INSERT INTO outbox VALUES (?, ?, ?)", (_FORMAT, source, secrets.token_hex(8)))
        Disk().sync_directory(self.path.parent)
        ((version, owner, incarnation),) = self._look_up("SELECT * FROM outbox", [()])
        if (version, owner) != (_FORMAT, source):
            raise StoreError(
                f"{self.path} is the outbox of source {owner!r} in format {version}",
                hint=f"Move it aside; an outbox of {source!r} is then made anew.",
            )
        return str(incarnation)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._connection.close()

    def apply(self, changes: Changes) -> None:
        """Make all of *changes* durable, or none of them."""
        with self._transaction() as run:
            numbers: dict[str, int] = {}
            for account in {a for a, _ in (*changes.memory, *changes.said)} | {*changes.sequences}:
                run("INSERT OR IGNORE INTO account (id, sequence) VALUES (?, 0)", (account,))
                found = run("SELECT number FROM account WHERE id = ?", (account,)).fetchone()
                numbers[account] = found[0]
            for account in changes.silenced:
                run("DELETE FROM item WHERE account = ?", (numbers[account],))
            for (account, item), said in changes.said.items():
                if said is None:
                    run("DELETE FROM item WHERE account = ? AND id = ?", (numbers[account], item))
                else:
                    run("REPLACE INTO item VALUES (?, ?, ?, ?)", (numbers[account], item, *said))
            for (account, key), value in changes.memory.items():
                if value is None:
                    run("DELETE FROM memory WHERE account = ? AND key = ?", (numbers[account], key))
                else:
                    run("REPLACE INTO memory VALUES (?, ?, ?)", (numbers[account], key, value))
            for event in changes.events:
                run("INSERT INTO queue (account, event) VALUES (?, ?)", event)
            for account, sequence in changes.sequences.items():
                run("UPDATE account SET sequence = ? WHERE id = ?", (sequence, account))

    def sequences(self, accounts: Iterable[str]) -> dict[str, int]:
        """The last number given to a transaction of each of *accounts*, where there is one."""
        query = "SELECT id, sequence FROM account WHERE id = ?"
        return dict(self._look_up(query, ((account,) for account in accounts)))

    def said(self, account: str, items: Iterable[str]) -> dict[str, Said]:
        """What was last said of those of *items* that exist."""
        rows = self._look_up(_SAID, ((account, item) for item in items))
        return {item: Said(digest, checksum) for item, digest, checksum in rows}

    def digests(self, digests: Iterable[str]) -> set[str]:
        """Those of *digests* that an item, of whatever account, was last said to have."""
        query = "SELECT digest FROM item WHERE digest = ? LIMIT 1"
        return {row[0] for row in self._look_up(query, ((digest,) for digest in digests))}

    def remembered(self, account: str, keys: Iterable[str]) -> dict[str, bytes]:
        return dict(self._look_up(_REMEMBERED, ((account, key) for key in keys)))

    def remembered_between(
        self, account: str, after: str, below: str, *, keys_max: int
    ) -> list[tuple[str, bytes]]:
        """The first *keys_max* of the keys above *after* and below *below*, in order."""
        return self._look_up(_REMEMBERED_BETWEEN, [(account, after, below, keys_max)])

    def queued(self, *, events_max: int, bytes_max: int) -> list[Queued]:
        """What has waited longest, in order, within the bounds; at least one if any waits."""
        found: list[Queued] = []
        size = 0
        with self._lock, self._errors():
            query = "SELECT number, account, event FROM queue ORDER BY number LIMIT ?"
            with contextlib.closing(self._connection.execute(query, (events_max,))) as rows:
                for row in map(Queued._make, rows):
                    size += len(row.event)
                    if found and size > bytes_max:
                        break
                    found.append(row)
        return found

    def queue_length(self) -> int:
        """0 once closed: whoever asks may be late."""
        with self._lock, self._errors():
            if self._closed:
                return 0
            return int(self._connection.execute("SELECT count(*) FROM queue").fetchone()[0])

    def drop_queued(self, last: int) -> None:
        """Let go of what waited up to number *last*: the bus has it."""
        with self._transaction() as run:
            run("DELETE FROM queue WHERE number <= ?", (last,))

    def _look_up(self, query: str, values: Iterable[Sequence[Any]]) -> list[Any]:
        """The rows of *query* for each of *values*, in order."""
        with self._lock, self._errors():
            return [row for some in values for row in self._connection.execute(query, some)]

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[Any]:
        """Gives ``execute``; what it did is durable after the block, or undone if that fails."""
        with self._lock, self._errors():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection.execute
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if full := no_space_for(self.path, error):
                raise full from error
            if primary_code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise StoreBusyError(
                    f"{self.path} is in use by another process",
                    hint="Only one process may send for a source; stop the other one.",
                ) from error
            raise StoreError(
                f"{self.path}: {error}",
                hint="If it is damaged, move it aside: the source is then listed anew.",
            ) from error
