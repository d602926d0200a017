"""The tail of a partition sorted by account, for whoever asks for all of them."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from streambackup.domain.partition_event import PartitionEvent, PartitionEventKind
from streambackup.journal.line import Line
from streambackup.metadata.account_log import (
    Unreadable,
    decode_events,
    decode_lines,
    encode_line,
)
from streambackup.reading.scratch import Scratch


class SortedTail:
    """Elements as filing would write them, but for the records that were set aside."""

    def __init__(self, elements: Iterator[Line | PartitionEvent]) -> None:
        self._scratch = Scratch("CREATE TABLE elements (account TEXT, line BLOB, event BLOB)")
        self._scratch.add(
            "INSERT INTO elements VALUES (?, ?, ?)", filter(None, map(_row, elements))
        )
        self._scratch.execute("CREATE INDEX by_account ON elements (account)")

    def elements(self, account: str) -> Iterator[Line | PartitionEvent]:
        wanted = "SELECT line, event FROM elements WHERE account = ? OR account IS NULL"
        for line, event in self._scratch.rows(wanted, account):
            decoded = decode_events(event) if line is None else decode_lines(line)
            for element in decoded:
                assert not isinstance(element, Unreadable)
                yield element


def _row(element: Line | PartitionEvent) -> tuple[str | None, bytes | None, bytes | None] | None:
    """The account that *element* concerns (None: all of them), and it as a line or as an event."""
    if isinstance(element, Line):
        return element.account, encode_line(element), None
    if element.kind is PartitionEventKind.QUARANTINE and element.account is None:
        return None
    return element.account, None, encode_line(_without_record(element))


def _without_record(event: PartitionEvent) -> PartitionEvent:
    return msgspec.structs.replace(event, key=None, value=None)
