"""Checking that what was filed is there: every line that a retained segment holds below the filed
mark.

Once a segment is deleted, its account logs are the only record; until then the two can be held
against each other.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

from streambackup.domain.finding import Finding, FindingClass
from streambackup.journal.frame import FrameKind
from streambackup.journal.line import Line, lines_of
from streambackup.journal.mark import farthest_mark
from streambackup.journal.segment import PartitionPath
from streambackup.journal.union import frames_of, open_segment
from streambackup.metadata.account_log import Unreadable, account_directory, decode_lines, log_files
from streambackup.reading.store_reader import TRANSACTIONS, StoreReader

Journalled = tuple[bytes, int]
"""An account's id, encoded, and the offset of one of its transactions."""


def check_filed_lines(reader: StoreReader) -> Iterator[Finding]:
    """Report the accounts whose logs lack transactions that a segment says were filed."""
    for life in reader.lives:
        for partition in range(life.partitions):
            path = PartitionPath(reader.root, life.generation, TRANSACTIONS, partition)
            # The mark first: what it covers was in the logs before it was written.
            filed_to = farthest_mark(path).filed_to
            if filed_to:
                yield from _check_partition(path, filed_to)


def _check_partition(path: PartitionPath, filed_to: int) -> Iterator[Finding]:
    with closing(sqlite3.connect("")) as database:
        database.execute(
            "CREATE TABLE journalled (account BLOB, offset INTEGER, PRIMARY KEY (account, offset))"
            " WITHOUT ROWID"
        )
        insert = "INSERT OR IGNORE INTO journalled VALUES (?, ?)"
        database.executemany(insert, _journalled(path, filed_to))
        accounts = database.execute("SELECT DISTINCT account FROM journalled").fetchall()
        for (account,) in accounts:
            rows = database.execute("SELECT offset FROM journalled WHERE account = ?", (account,))
            yield from _compare(
                path, account.decode("utf-8", "surrogatepass"), {o for (o,) in rows}
            )


def _journalled(path: PartitionPath, filed_to: int) -> Iterator[Journalled]:
    """The transactions below *filed_to* in the segments that are still there, one segment
    at a time.
    """
    for segment in path.segments():
        if segment.first >= filed_to:
            continue
        try:
            opened = open_segment(path, segment, is_last=True)
        except FileNotFoundError:
            continue
        for placed in frames_of(opened, []):
            if placed.frame.kind is not FrameKind.RECORDS:
                continue
            for line in lines_of([placed], path.partition, 0):
                if isinstance(line, Line):
                    account = line.account.encode("utf-8", "surrogatepass")
                    yield from ((account, o) for o in line.offsets() if o < filed_to)


def _compare(path: PartitionPath, account: str, journalled: set[int]) -> Iterator[Finding]:
    directory = account_directory(path.root, account)
    for _, file in log_files(directory):
        for line in decode_lines(file.read_bytes()):
            if isinstance(line, Unreadable):
                if not line.last:
                    return  # A damaged line is a fault of its own, and tells as much.
            elif line.generation == path.generation:
                journalled.difference_update(line.offsets())
    if journalled:
        yield Finding(
            finding=FindingClass.MISSING_LINES,
            what=f"{len(journalled)} transactions that were filed are not in the account log",
            account=account,
            path=str(directory),
            offset=min(journalled),
            cure="Copy the account's directory from another copy, or replay the topic.",
        )
