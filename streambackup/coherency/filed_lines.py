"""Checking that what was filed is there: as many records as the mark counted, and every one that a
retained segment still names.

Once a segment is deleted, its account logs are the only record of it. The count then tells that
lines are gone, though not whose they were: with a whole directory, from a log's end, or from its
middle, where the hole in a sequence puts the account in doubt as well.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from streambackup.bus.port import partition_of
from streambackup.domain.finding import Finding, FindingClass
from streambackup.domain.partition_event import PartitionEventKind
from streambackup.domain.words import counted
from streambackup.events.topics import TRANSACTIONS
from streambackup.journal.frame import FrameKind
from streambackup.journal.line import Line, lines_of
from streambackup.journal.mark import FiledMark, farthest_mark
from streambackup.journal.place import Place, place_in
from streambackup.journal.segment import PartitionPath
from streambackup.journal.union import frames_of, open_segment
from streambackup.metadata.account_log import (
    Unreadable,
    account_directory,
    decode_lines,
    list_accounts,
    with_logs,
)
from streambackup.reading.partition_log import filed_events
from streambackup.reading.scratch import Scratch
from streambackup.reading.store_reader import StoreReader

_SCHEMA = (
    "CREATE TABLE journalled (account TEXT, offset INTEGER, PRIMARY KEY (account, offset))"
    " WITHOUT ROWID",
    "CREATE TABLE events (offset INTEGER PRIMARY KEY)",
)


def check_filed_lines(reader: StoreReader) -> Iterator[Finding]:
    """Report what was filed, by a mark's count or by a segment, and stands in no log."""
    for life in reader.lives:
        partitions = range(life.partitions)
        paths = [PartitionPath(reader.root, life.generation, TRANSACTIONS, p) for p in partitions]
        # The marks first: what they cover was in the logs before they were written.
        marks = [farthest_mark(path) for path in paths]
        accounts = defaultdict[int, list[str]](list)
        for account, _ in list_accounts(reader.root):
            accounts[partition_of(account.encode(), life.partitions)].append(account)
        for path, mark in zip(paths, marks, strict=True):
            if mark.filed_to:
                with closing(Scratch(*_SCHEMA)) as scratch:
                    where = place_in(life, path.partition)
                    named = accounts[path.partition]
                    yield from _check_partition(path, where, mark, named, scratch)


def _check_partition(
    path: PartitionPath, where: Place, mark: FiledMark, accounts: Iterable[str], scratch: Scratch
) -> Iterator[Finding]:
    journalled = _journalled(path, where, mark.filed_to)
    scratch.add("INSERT OR IGNORE INTO journalled VALUES (?, ?)", journalled)
    named = scratch.rows("SELECT DISTINCT account FROM journalled")
    accounted_for = _events(path, mark.filed_to, scratch)
    all_readable = True
    for account in sorted({*accounts, *(account for (account,) in named)}):
        filed = _filed(path, account, mark.filed_to)
        if filed is None:
            all_readable = False
            continue
        rows = scratch.rows("SELECT offset FROM journalled WHERE account = ?", account)
        missing = {offset for (offset,) in rows} - filed
        accounted_for += len(filed) + len(missing)
        if missing:
            yield _missing_of_account(path, account, missing)
    if all_readable and accounted_for < mark.records:
        yield _missing_of_partition(path, mark.records - accounted_for)


def _journalled(path: PartitionPath, where: Place, filed_to: int) -> Iterator[tuple[str, int]]:
    """Account and offset of the transactions below *filed_to* in the segments that are still there,
    one segment at a time.
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
            for line in lines_of([placed], where, 0):
                if isinstance(line, Line):
                    yield from ((line.account, o) for o in line.offsets() if o < filed_to)


def _events(path: PartitionPath, filed_to: int, scratch: Scratch) -> int:
    """How many markers and quarantined records below *filed_to* the partition log holds."""
    offsets = (
        (event.position.offset,)
        for event in filed_events(path)
        if event.kind is not PartitionEventKind.GAP and event.position.offset < filed_to
    )
    scratch.add("INSERT OR IGNORE INTO events VALUES (?)", offsets)
    ((count,),) = scratch.rows("SELECT count(*) FROM events")
    return int(count)


def _filed(path: PartitionPath, account: str, filed_to: int) -> set[int] | None:
    """The offsets below *filed_to* that the account's logs hold; None where a line is damaged,
    which is a fault of its own and tells as much.
    """
    read = partial(_offsets, path.generation, filed_to)
    return with_logs(account_directory(path.root, account), read)


def _offsets(generation: str, filed_to: int, logs: Sequence[Path]) -> set[int] | None:
    offsets = set[int]()
    for file in logs:
        for line in decode_lines(file.read_bytes()):
            if isinstance(line, Unreadable):
                if not line.last:
                    return None
            elif line.generation == generation:
                offsets.update(offset for offset in line.offsets() if offset < filed_to)
    return offsets


def _missing_of_account(path: PartitionPath, account: str, offsets: set[int]) -> Finding:
    return Finding(
        finding=FindingClass.MISSING_LINES,
        what=f"the account log lacks {counted(len(offsets), 'filed transaction')}",
        account=account,
        path=str(account_directory(path.root, account)),
        offset=min(offsets),
        cure="Copy the account's directory from another copy, or replay the topic.",
    )


def _missing_of_partition(path: PartitionPath, count: int) -> Finding:
    return Finding(
        finding=FindingClass.MISSING_LINES,
        what=f"the logs lack {counted(count, 'filed record')} of this partition",
        path=str(path.directory),
        cure="Compare with another copy: 'streambackup fingerprint --compare' names an account. "
        "Copy its directory, or replay the topic.",
    )
