"""Builders of events and of the records that carry them,
with everything that a test does not care about filled in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from streambackup.domain.entry import ItemType
from streambackup.domain.transaction import TransactionId
from streambackup.events.codec import encode_event
from streambackup.events.mailbox import (
    SCHEMA,
    AccountDelete,
    Delete,
    EmptyFolder,
    FolderDelete,
    MailboxEvent,
    Marker,
    MarkerKind,
    Precondition,
    Put,
)
from streambackup.testing.memory_bus import MemoryRecord

ACCOUNT = "anna"
SOURCE = "test"
INCARNATION = "00000001"
GENERATION = "00000000000000aa"
TIME_MS = 1_700_000_000_000
MOMENT_MS = 100


def id_of(sequence: int, *, source: str = SOURCE, incarnation: str = INCARNATION) -> TransactionId:
    """The id of the builders' transaction with this *sequence*."""
    return TransactionId(source, incarnation, sequence)


def put(
    item: str,
    sequence: int,
    *,
    account: str = ACCOUNT,
    source: str = SOURCE,
    time_ms: int = TIME_MS,
    change: int | None = None,
    digest: str | None = None,
    after: Precondition | None = None,
    type: ItemType = ItemType.MESSAGE,
    **state: object,
) -> Put:
    """An item in a state made of the other keywords."""
    return Put(
        schema=SCHEMA,
        account=account,
        source=source,
        incarnation=INCARNATION,
        sequence=sequence,
        time_ms=time_ms,
        change=change,
        item=item,
        type=type,
        state=state,
        digest=digest,
        size=None if digest is None else 10,
        after=after,
    )


def delete(
    item: str,
    sequence: int,
    *,
    account: str = ACCOUNT,
    source: str = SOURCE,
    time_ms: int = TIME_MS,
    change: int | None = None,
    after: Precondition | None = None,
) -> Delete:
    return Delete(
        schema=SCHEMA,
        account=account,
        source=source,
        incarnation=INCARNATION,
        sequence=sequence,
        time_ms=time_ms,
        change=change,
        item=item,
        after=after,
    )


def empty_folder(
    folder: str,
    sequence: int,
    *,
    account: str = ACCOUNT,
    source: str = SOURCE,
    time_ms: int = TIME_MS,
    recursive: bool = False,
) -> EmptyFolder:
    return EmptyFolder(
        schema=SCHEMA,
        account=account,
        source=source,
        incarnation=INCARNATION,
        sequence=sequence,
        time_ms=time_ms,
        folder=folder,
        recursive=recursive,
    )


def folder_delete(
    folder: str,
    sequence: int,
    *,
    account: str = ACCOUNT,
    source: str = SOURCE,
    time_ms: int = TIME_MS,
) -> FolderDelete:
    return FolderDelete(
        schema=SCHEMA,
        account=account,
        source=source,
        incarnation=INCARNATION,
        sequence=sequence,
        time_ms=time_ms,
        folder=folder,
    )


def account_delete(
    sequence: int,
    *,
    account: str = ACCOUNT,
    source: str = SOURCE,
    time_ms: int = TIME_MS,
    after: Precondition | None = None,
) -> AccountDelete:
    return AccountDelete(
        schema=SCHEMA,
        account=account,
        source=source,
        incarnation=INCARNATION,
        sequence=sequence,
        time_ms=time_ms,
        after=after,
    )


def marker(
    kind: MarkerKind = MarkerKind.SCAN_BEGIN,
    *,
    account: str | None = ACCOUNT,
    time_ms: int = TIME_MS,
) -> Marker:
    """A marker of *account*, or with None of the whole partition."""
    return Marker(schema=SCHEMA, kind=kind, account=account, time_ms=time_ms)


class PartitionLog:
    """The records of one partition, as a bus hands them out."""

    def __init__(self, events: Iterable[MailboxEvent] = ()) -> None:
        self.records: list[MemoryRecord] = []
        for event in events:
            self.add(event)

    def __iter__(self) -> Iterator[MemoryRecord]:
        return iter(self.records)

    def add(
        self, event: MailboxEvent, *, published_ms: int | None = None, json: bool = False
    ) -> MemoryRecord:
        """Append *event*, published at its own time unless said otherwise."""
        value = msgspec.json.encode(event) if json else encode_event(event)
        key = None if event.account is None else event.account.encode()
        return self.add_raw(key, value, event.time_ms if published_ms is None else published_ms)

    def add_raw(
        self, key: bytes | None, value: bytes | None, published_ms: int = TIME_MS
    ) -> MemoryRecord:
        """Append any bytes."""
        record = MemoryRecord(len(self.records), key, value, published_ms)
        self.records.append(record)
        return record
