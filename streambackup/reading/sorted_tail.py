"""The tail of a partition sorted by account, for whoever asks for all of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from streambackup.domain.partition_event import PartitionEvent, PartitionEventKind
from streambackup.journal.line import Line
from streambackup.journal.segment import PartitionPath
from streambackup.metadata.account_log import (
    Unreadable,
    decode_events,
    decode_lines,
    encode_line,
)
from streambackup.reading.partition_log import events_from, partition_logs, recognised
from streambackup.reading.scratch import Scratch

_E = TypeVar("_E", Line, PartitionEvent)
_Row = tuple[str, str | None, bytes]
"""Of what kind, which account it concerns (None: all of them), and the line that filing writes."""

_INSERT = "INSERT INTO kept VALUES (?, ?, ?)"
_SELECT = "SELECT line FROM kept WHERE kind = ? AND account IS ?"


class SortedTail:
    """*elements*, and what the partition log of *path* says; without the records set aside."""

    def __init__(self, path: PartitionPath, elements: Iterable[Line | PartitionEvent]) -> None:
        self._path = path
        self._filed_up_to: dict[Path, int] = {}
        self._scratch = Scratch("CREATE TABLE kept (kind TEXT, account TEXT, line BLOB)")
        self._scratch.add(_INSERT, itertools.chain.from_iterable(map(_rows, elements)))
        self._scratch.execute("CREATE INDEX kept_by_account ON kept (kind, account)")

    def elements(self, account: str) -> Iterator[Line | PartitionEvent]:
        """Lines and events that concern *account*."""
        yield from self._kept("line", account, decode_lines)
        yield from self._kept("event", account, decode_events)

    def filed_events(self, account: str) -> Iterator[PartitionEvent]:
        """What the partition log says of *account* by now; each byte of it is read once."""
        for file in partition_logs(self._path):
            self._scratch.add(_INSERT, self._filed_since(file))
        yield from self._kept("filed", account, decode_events)

    def _filed_since(self, file: Path) -> Iterator[_Row]:
        for filed in events_from(file, self._filed_up_to.get(file, 0)):
            self._filed_up_to[file] = filed.following
            yield from _event_rows("filed", filed.event)

    def _kept(
        self, kind: str, account: str, decode: Callable[[bytes], Iterator[_E | Unreadable]]
    ) -> Iterator[_E]:
        for concerned in (account, None):
            for (line,) in self._scratch.rows(_SELECT, kind, concerned):
                for element in decode(line):
                    assert not isinstance(element, Unreadable)
                    yield element


def _rows(element: Line | PartitionEvent) -> Iterator[_Row]:
    if isinstance(element, Line):
        yield "line", element.account, encode_line(element)
    else:
        yield from _event_rows("event", element)


def _event_rows(kind: str, event: PartitionEvent) -> Iterator[_Row]:
    """One row, but none for a record in quarantine that concerns nobody."""
    if event.kind is not PartitionEventKind.QUARANTINE or event.account is not None:
        bare = msgspec.structs.replace(recognised(event), key=None, value=None)
        yield kind, event.account, encode_line(bare)
