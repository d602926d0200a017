"""The partition log: what was filed of a partition as a whole, and records in quarantine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from streambackup.domain.partition_event import PartitionEvent, PartitionEventKind
from streambackup.domain.transaction import TransactionId
from streambackup.errors import InvalidEventError
from streambackup.events.codec import decode_mailbox_event
from streambackup.events.mailbox import Transaction
from streambackup.journal.segment import PartitionPath
from streambackup.metadata.account_log import Unreadable, decode_events


class Filed(NamedTuple):
    """An event, and where in its file the next one begins."""

    event: PartitionEvent
    following: int


def partition_logs(path: PartitionPath) -> list[Path]:
    """The files, each of another epoch, which only grow."""
    return sorted(path.directory.glob("*.partition.jsonl"))


def events_from(file: Path, start: int) -> Iterator[Filed]:
    """The events in *file* from byte *start* on, a line at a time.

    One at the end whose line has none is followed by itself: it may not be complete.
    """
    with file.open("rb") as rows:
        rows.seek(start)
        for row in rows:
            if row.endswith(b"\n"):
                start += len(row)
            for event in decode_events(row):
                if not isinstance(event, Unreadable):
                    yield Filed(event, start)


def unreadable_lines(file: Path) -> Iterator[Unreadable]:
    """The lines of *file* that fail their check."""
    with file.open("rb") as rows:
        for number, row in enumerate(rows, 1):
            for event in decode_events(row):
                if isinstance(event, Unreadable):
                    yield event._replace(number=number)


def filed_events(path: PartitionPath) -> Iterator[PartitionEvent]:
    """Gaps, markers and quarantined records, each as often as it was filed."""
    for file in partition_logs(path):
        yield from (filed.event for filed in events_from(file, 0))


def recognised(event: PartitionEvent) -> PartitionEvent:
    """*event*, a record in quarantine with the transaction that this release finds in its bytes."""
    if event.kind is not PartitionEventKind.QUARANTINE or event.value is None:
        return event
    try:
        found = decode_mailbox_event(event.value)
    except InvalidEventError:
        return event
    if not isinstance(found, Transaction) or found.account != event.account:
        return event
    id = TransactionId(found.source, found.incarnation, found.sequence)
    return msgspec.structs.replace(event, transaction=id)
