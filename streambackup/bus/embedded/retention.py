"""What a topic's file may forget, and how its space is given back.

A record is kept until every group that ever acknowledged anything of the topic has passed it, then
for a while more. While nobody ever acknowledged, nothing is forgotten. Work is done in small steps,
because publishers wait for the file meanwhile.
"""

from __future__ import annotations

import sqlite3

import msgspec

from streambackup.bus.embedded.blocks import offset_of, row_id

STEP_BYTES = 32 * 1024 * 1024
STEP_BLOCKS = 2_000

# How far the slowest group is; a group that never spoke of a partition has passed nothing there.
_SLOWEST = """
SELECT partitions.partition, MIN(COALESCE(acknowledged.next_offset, 0)) AS next_offset
FROM partitions
JOIN (SELECT DISTINCT consumers FROM acknowledged) AS every
LEFT JOIN acknowledged
    ON acknowledged.consumers = every.consumers
    AND acknowledged.partition = partitions.partition
GROUP BY partitions.partition
"""

_NOTE = f"""
INSERT INTO passed (partition, next_offset, at_ms)
SELECT slowest.partition, slowest.next_offset, ?
FROM ({_SLOWEST}) AS slowest JOIN partitions ON partitions.partition = slowest.partition
WHERE slowest.next_offset > partitions.first_offset AND NOT EXISTS (
    SELECT 1 FROM passed
    WHERE passed.partition = slowest.partition AND passed.next_offset >= slowest.next_offset)
"""  # noqa: S608  nothing here comes from outside

_TAKE_BACK = f"""
DELETE FROM passed WHERE EXISTS (
    SELECT 1 FROM ({_SLOWEST}) AS slowest
    WHERE slowest.partition = passed.partition AND slowest.next_offset < passed.next_offset)
"""  # noqa: S608  as above


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How long and how much is kept of what all groups have passed, and how much emptied space a
    file keeps for what comes next.
    """

    passed_ms: int = 2 * 24 * 3600 * 1000
    bytes_max: int = 2 * 1024**3
    spare_bytes: int = 64 * 1024**2


def note_passed(database: sqlite3.Connection, now_ms: int) -> None:
    """Write down where every group had arrived by now; a new group may be behind the others."""
    database.execute(_TAKE_BACK)
    database.execute(_NOTE, (now_ms,))


def forget(database: sqlite3.Connection, now_ms: int, limits: Limits) -> bool:
    """Drop what was passed long enough ago, or first if there is too much;
    True if more is to drop.
    """
    oldest = database.execute(
        "SELECT rowid, partition, next_offset, at_ms FROM passed ORDER BY at_ms, rowid LIMIT 1"
    ).fetchone()
    if oldest is None:
        return False
    mark, partition, next_offset, at_ms = oldest
    if at_ms > now_ms - limits.passed_ms and _used_bytes(database) <= limits.bytes_max:
        return False
    last = _end_of_step(database, partition, next_offset)
    if last is None:
        database.execute("DELETE FROM passed WHERE rowid = ?", (mark,))
        return True
    database.execute("DELETE FROM blocks WHERE id BETWEEN ? AND ?", (row_id(partition, 0), last))
    database.execute(
        "UPDATE partitions SET first_offset = ? WHERE partition = ?",
        (offset_of(last) + 1, partition),
    )
    return True


def _end_of_step(database: sqlite3.Connection, partition: int, next_offset: int) -> int | None:
    """The last block to drop in one go; None where no whole block lies before *next_offset*."""
    rows = database.execute(
        "SELECT id, length(payload) FROM blocks WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
        (row_id(partition, 0), row_id(partition, next_offset), STEP_BLOCKS),
    )
    last: int | None = None
    size = 0
    for row, length in rows:
        last = row
        size += length
        if size >= STEP_BYTES:
            break
    rows.close()
    return last


def _used_bytes(database: sqlite3.Connection) -> int:
    return (_number(database, "page_count") - _number(database, "freelist_count")) * _number(
        database, "page_size"
    )


def give_back(database: sqlite3.Connection, limits: Limits) -> bool:
    """Shorten the file by some of its emptied space; True if more is to give."""
    page_bytes = _number(database, "page_size")
    surplus = _number(database, "freelist_count") - limits.spare_bytes // page_bytes
    if surplus <= 0:
        return False
    step = STEP_BYTES // page_bytes
    # A page per step, and rows without columns: ``execute`` would end after the first.
    database.executescript(f"PRAGMA incremental_vacuum({min(surplus, step)})")
    return surplus > step


def _number(database: sqlite3.Connection, pragma: str) -> int:
    (value,) = database.execute(f"PRAGMA {pragma}").fetchone()
    return int(value)
