"""One topic in one SQLite file. Everything here blocks and may be called from any thread.

topic         one row: partitions, retention_ms, compacted
partitions    partition, first_offset (begin), next_offset (end)
    blocks        id (row_id of partition and last offset), records, timestamp, payload, and the
                  key where a topic is compacted: there each block holds one record
acknowledged  consumers (a group), partition, next_offset
passed        partition, next_offset, at_ms: when every group had passed that offset
"""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from streambackup.bus.embedded import retention
from streambackup.bus.embedded.blocks import (
    Block,
    Pair,
    StoredRecord,
    offset_of,
    pack,
    row_id,
    unpack,
)
from streambackup.bus.embedded.errors import database_errors
from streambackup.bus.port import Bounds, Placed, TopicSpec
from streambackup.errors import BusError, PositionLostError
from streambackup.runtime.disk import Disk

SUFFIX = ".sqlite3"
FORMAT = 1
PAGE_BYTES = 16_384
BUSY_LIMIT_S = 30.0
WAL_BYTES_KEPT = 64 * 1024 * 1024
FETCH_BYTES_MAX = 16 * 1024 * 1024

_SCHEMA = """
CREATE TABLE topic (partitions INTEGER, retention_ms INTEGER, compacted INTEGER);
CREATE TABLE partitions (
    partition INTEGER PRIMARY KEY, first_offset INTEGER, next_offset INTEGER);
CREATE TABLE blocks (
    id INTEGER PRIMARY KEY, records INTEGER, timestamp INTEGER, key BLOB, payload BLOB);
CREATE TABLE acknowledged (
    consumers TEXT, partition INTEGER, next_offset INTEGER, PRIMARY KEY (consumers, partition));
CREATE TABLE passed (partition INTEGER, next_offset INTEGER, at_ms INTEGER);
"""


class Look(NamedTuple):
    """Records by partition, and the partitions whose offset the file does not hold."""

    records: dict[int, list[StoredRecord]]
    lost: list[PositionLostError]


class TopicFile:
    """An open topic. Appends are durable on return; acknowledgements need not be and are not."""

    def __init__(self, path: Path, limits: retention.Limits) -> None:
        self.path = path
        self.name = path.stem
        self._limits = limits
        # One writer at a time in this process: SQLite's own waiting sleeps, a lock wakes at once.
        self._writing = threading.Lock()
        self._reading = threading.Lock()
        with database_errors(path):
            self._appender = _connect(path, synchronous="FULL")
            self._keeper = _connect(path, synchronous="NORMAL")
            self._reader = _connect(path, synchronous="NORMAL")
            self.spec = self._read_spec()

    def append(self, partitions: Sequence[int], pairs: Sequence[Pair], now_ms: int) -> list[Placed]:
        """Append each pair to the partition at the same place, in one transaction."""
        by_partition: dict[int, list[Pair]] = {}
        for partition, pair in zip(partitions, pairs, strict=True):
            by_partition.setdefault(partition, []).append(pair)
        with self._transaction(self._appender) as database:
            ends = {n: bounds.end for n, bounds in _bounds(database).items()}
            for partition, held in by_partition.items():
                alone = self.spec.compacted
                blocks = pack(held, begin=ends[partition], timestamp=now_ms, alone=alone)
                keys = [key for key, _ in held] if alone else None
                _insert(database, partition, blocks, keys=keys)
            database.executemany(
                "UPDATE partitions SET next_offset = next_offset + ? WHERE partition = ?",
                [(len(held), partition) for partition, held in by_partition.items()],
            )
        return _placed(partitions, ends)

    def bounds(self) -> dict[int, Bounds]:
        with self._read() as database:
            return _bounds(database)

    def look(
        self, wanted: Mapping[int, int], *, records_max: int, bytes_max: int = FETCH_BYTES_MAX
    ) -> Look:
        """Records at and behind the offset wanted of each partition, earlier named ones first,
        until one of the limits is reached; at least one record if there is any.
        """
        found = Look({}, [])
        with self._read() as database:
            bounds = _bounds(database)
            for partition, offset in wanted.items():
                begin, end = bounds[partition]
                if not begin <= offset <= end:
                    found.lost.append(
                        PositionLostError(self.name, partition, offset, begin=begin, end=end)
                    )
                elif records_max > 0 and bytes_max > 0 and offset < end:
                    records, size = _records(database, partition, offset, records_max, bytes_max)
                    found.records[partition] = records
                    records_max -= len(records)
                    bytes_max -= size
        return found

    def acknowledge(self, group: str, next_offsets: Mapping[int, int]) -> None:
        with self._transaction(self._keeper) as database:
            database.executemany(
                "INSERT OR REPLACE INTO acknowledged VALUES (?, ?, ?)",
                [(group, partition, offset) for partition, offset in next_offsets.items()],
            )

    def acknowledged(self, group: str) -> dict[int, int]:
        with self._read() as database:
            query = "SELECT partition, next_offset FROM acknowledged WHERE consumers = ?"
            return dict(database.execute(query, (group,)))

    def tidy(self, now_ms: int) -> bool:
        """Forget some of what retention allows and give its space back; True if more is to do."""
        if self.spec.compacted or self.spec.retention_ms < 0:
            return False
        with self._transaction(self._keeper) as database:
            retention.note_passed(database, now_ms)
            more = retention.forget(database, now_ms, self._limits)
        with self._writing, database_errors(self.path):
            return retention.give_back(self._keeper, self._limits) or more

    def close(self) -> None:
        with self._writing, self._reading, database_errors(self.path):
            for database in (self._reader, self._keeper, self._appender):
                database.close()

    @contextlib.contextmanager
    def _transaction(self, database: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
        with self._writing, database_errors(self.path):
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
                database.execute("COMMIT")
            finally:
                if database.in_transaction:
                    database.execute("ROLLBACK")

    @contextlib.contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        """One consistent view."""
        with self._reading, database_errors(self.path):
            self._reader.execute("BEGIN")
            try:
                yield self._reader
            finally:
                if self._reader.in_transaction:
                    self._reader.execute("ROLLBACK")

    def _read_spec(self) -> TopicSpec:
        (found,) = self._reader.execute("PRAGMA user_version").fetchone()
        if found != FORMAT:
            raise BusError(
                f"{self.path} has format {found}; this release knows {FORMAT}",
                hint="Use the release that wrote it, or move the file aside.",
            )
        row = self._reader.execute("SELECT partitions, retention_ms, compacted FROM topic")
        partitions, retention_ms, compacted = row.fetchone()
        return TopicSpec(
            name=self.name,
            partitions=partitions,
            retention_ms=retention_ms,
            compacted=bool(compacted),
        )


def create_topic_file(folder: Path, spec: TopicSpec, disk: Disk) -> None:
    """Write the empty topic, whole or not at all; durable on return.

    The caller holds the folder's lock.
    """
    path = folder / (spec.name + SUFFIX)
    fresh = folder / f".{spec.name}.new"
    fresh.unlink(missing_ok=True)
    disk.create(fresh).close()  # SQLite gives its side files the mode of the file
    with database_errors(fresh), contextlib.closing(_open(fresh)) as database:
        # The page size and the way to shrink are fixed before the first table.
        for pragma in (f"page_size = {PAGE_BYTES}", "auto_vacuum = INCREMENTAL"):
            database.execute(f"PRAGMA {pragma}")
        database.executescript(_SCHEMA)
        if spec.compacted:
            database.execute("CREATE INDEX newest ON blocks (key)")
        row = (spec.partitions, spec.retention_ms, spec.compacted)
        database.execute("INSERT INTO topic VALUES (?, ?, ?)", row)
        numbers = [(number,) for number in range(spec.partitions)]
        database.executemany("INSERT INTO partitions VALUES (?, 0, 0)", numbers)
        database.execute(f"PRAGMA user_version = {FORMAT}")
        database.execute("PRAGMA journal_mode = WAL")
    disk.sync_file(fresh)
    disk.rename(fresh, path)
    disk.sync_directory(folder)


def _open(path: Path) -> sqlite3.Connection:
    """Transactions are ours to begin; any thread may call, one at a time."""
    return sqlite3.connect(
        path, timeout=BUSY_LIMIT_S, isolation_level=None, check_same_thread=False
    )


def _connect(path: Path, *, synchronous: str) -> sqlite3.Connection:
    database = _open(path)
    database.execute(f"PRAGMA synchronous = {synchronous}")
    database.execute(f"PRAGMA journal_size_limit = {WAL_BYTES_KEPT}")
    return database


def _bounds(database: sqlite3.Connection) -> dict[int, Bounds]:
    rows = database.execute("SELECT partition, first_offset, next_offset FROM partitions")
    return {partition: Bounds(begin, end) for partition, begin, end in rows}


def _insert(
    database: sqlite3.Connection,
    partition: int,
    blocks: Iterator[Block],
    *,
    keys: Sequence[bytes | None] | None,
) -> None:
    """Add the blocks. With *keys*, one per block, the older blocks of the same key go."""
    rows = [
        (row_id(partition, block.last), block.records, block.timestamp, key, block.payload)
        for block, key in zip(blocks, keys or itertools.repeat(None), strict=False)
    ]
    database.executemany("INSERT INTO blocks VALUES (?, ?, ?, ?, ?)", rows)
    if keys is not None:
        database.executemany(
            "DELETE FROM blocks WHERE key = ? AND id < ? AND id >= ?",
            [(row[3], row[0], row_id(partition, 0)) for row in rows],
        )


def _placed(partitions: Sequence[int], ends: dict[int, int]) -> list[Placed]:
    """Where records stand that were appended in this order behind *ends*."""
    places = []
    for partition in partitions:
        offset = ends[partition]
        ends[partition] = offset + 1
        places.append(Placed(partition, offset))
    return places


def _records(
    database: sqlite3.Connection, partition: int, offset: int, records_max: int, bytes_max: int
) -> tuple[list[StoredRecord], int]:
    """Records at and behind *offset*, and the bytes that they fill."""
    rows = database.execute(
        "SELECT id, records, timestamp, payload FROM blocks WHERE id >= ? AND id < ? ORDER BY id",
        (row_id(partition, offset), row_id(partition + 1, 0)),
    )
    records: list[StoredRecord] = []
    size = 0
    for row, count, timestamp, payload in rows:
        block = Block(offset_of(row), count, timestamp, payload)
        records += unpack(block, offset=offset, records_max=records_max - len(records))
        size += len(payload)
        if len(records) >= records_max or size >= bytes_max:
            break
    rows.close()
    return records, size
