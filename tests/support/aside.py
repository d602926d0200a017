"""A store in which an older release set aside what this one can read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from streambackup.domain.partition_event import PartitionEvent
from streambackup.events.codec import encode_event
from streambackup.events.mailbox import MailboxEvent
from streambackup.metadata.account_log import encode_line
from streambackup.reading.partition_log import filed_events, partition_logs
from streambackup.testing.events import ACCOUNT, PartitionLog
from streambackup.testing.partition_store import PartitionStore

JUNK = b"\xc1"


def aged_store(
    root: Path,
    before: Sequence[MailboxEvent],
    aside: Sequence[bytes],
    after: Sequence[MailboxEvent] = (),
) -> tuple[PartitionStore, PartitionLog]:
    """A store that has filed *before*, then records with the values *aside*, which were set aside,
    then *after*.
    """
    log = PartitionLog(before)
    for _ in aside:
        log.add_raw(ACCOUNT.encode(), JUNK)
    for event in after:
        log.add(event)
    store = PartitionStore(root)
    owner = store.own()
    store.journal(owner, log.records)
    store.file(owner)
    _write_values(store, aside)
    return store, log


def _write_values(store: PartitionStore, values: Sequence[bytes]) -> None:
    """Give the records in the partition log other values than those that this release refused."""
    (file,) = partition_logs(store.path)
    events: list[PartitionEvent] = [
        msgspec.structs.replace(event, value=value, reason="schema 0 is newer than -1")
        for event, value in zip(filed_events(store.path), values, strict=True)
    ]
    file.write_bytes(b"".join(map(encode_line, events)))


def go_on(store: PartitionStore, log: PartitionLog, *events: MailboxEvent) -> None:
    """More comes, and is filed."""
    for event in events:
        log.add(event)
    owner = store.own()
    store.journal(owner, log.records)
    store.file(owner)


def values(*events: MailboxEvent) -> list[bytes]:
    return [encode_event(event) for event in events]
