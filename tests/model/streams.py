"""Random streams of one partition, made so that the rules of the fold are met often."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from hypothesis import strategies as st

from streambackup.domain.digest import digest_of
from streambackup.domain.entry import ItemType
from streambackup.events.mailbox import (
    AccountDelete,
    Delete,
    EmptyFolder,
    FolderDelete,
    MarkerKind,
    Put,
)
from streambackup.testing.events import (
    TIME_MS,
    PartitionLog,
    account_delete,
    delete,
    empty_folder,
    folder_delete,
    id_of,
    marker,
    put,
)
from streambackup.testing.memory_bus import MemoryRecord

ACCOUNTS = ("anna", "bert")
MESSAGES = ("m1", "m2")
FOLDERS = ("f1", "f2")
SOURCES = ("imap", "web")
DIGESTS = (None, digest_of(b"one"), digest_of(b"two"))
IGNORED = ("last_login_ms",)
PUBLISHED_MS = TIME_MS + 1_000
TIMES_MS = (0, 0, 0, 30, 60, 100, 150, 230, 1_000, 400_000)
"""Most in one moment; the last is too far ahead of the publish time."""

Change = Put | Delete | EmptyFolder | FolderDelete | AccountDelete


class _Writer:
    """Draws one event after the other and remembers what was sent."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self._log = PartitionLog()
        self._sent: list[Change] = []
        self._numbers: dict[tuple[str, str], int] = {}

    @property
    def records(self) -> list[MemoryRecord]:
        return self._log.records

    def one_of(self, *values: Any) -> Any:
        return self._draw(st.sampled_from(values))

    def step(self) -> None:
        kind = self._draw(st.integers(0, 39 if self._sent else 23))
        if kind < 18:
            self._send(self._put())
        elif kind < 21:
            self._send(self._delete())
        elif kind < 24:
            self._send(self._conditional())
        elif kind < 27:
            self._send(self._many())
        elif kind < 30:
            self._marker()
        elif kind < 32:
            self._junk()
        else:
            self._again(conflict=kind >= 38)

    def _send(self, event: Change) -> None:
        self._sent.append(event)
        self._log.add(event, published_ms=PUBLISHED_MS, json=self._draw(st.booleans()))

    def _head(self) -> dict[str, Any]:
        """Account, source, number and time; numbers leave holes and fill them."""
        account, source = self.one_of(*ACCOUNTS), self.one_of(*SOURCES)
        highest = self._numbers.get((account, source), 0)
        sequence = highest + self.one_of(1, 1, 1, 1, 1, 2, -1, -2)
        sequence = max(sequence, 1)
        self._numbers[account, source] = max(highest, sequence)
        time_ms = TIME_MS + self.one_of(*TIMES_MS)
        return {"account": account, "source": source, "sequence": sequence, "time_ms": time_ms}

    def _put(self) -> Put:
        head = self._head()
        if self._draw(st.integers(0, 4)) == 0:
            item, parent = self.one_of(*FOLDERS), self.one_of(None, *FOLDERS)
            return put(item, **head, type=ItemType.FOLDER, name=item, parent=parent)
        state = {
            "folder": self.one_of(*FOLDERS),
            "flags": self.one_of([], ["seen"], ["flagged"]),
            "color": self.one_of(1, 1, 1, True),
            "last_login_ms": self.one_of(1, 2),
        }
        digest = self.one_of(*DIGESTS[:2], *DIGESTS)
        change = self.one_of(None, None, None, 1, 2, 3)
        return put(self.one_of(*MESSAGES), **head, digest=digest, change=change, **state)

    def _delete(self) -> Delete:
        item, change = self.one_of(*MESSAGES, "f1"), self.one_of(None, None, 1, 3)
        return delete(item, **self._head(), change=change)

    def _condition(self) -> Any:
        ids = [id_of(event.sequence, source=event.source) for event in self._sent[-6:]]
        return self.one_of("never-seen", *ids)

    def _conditional(self) -> Put | Delete:
        event = self._put() if self._draw(st.booleans()) else self._delete()
        return msgspec.structs.replace(event, after=self._condition())

    def _many(self) -> Change:
        head, folder = self._head(), self.one_of(*FOLDERS)
        match self._draw(st.integers(0, 3)):
            case 0:
                return folder_delete(folder, **head)
            case 1:
                after = self.one_of(None, self._condition())
                return account_delete(**head, after=after)
            case _:
                return empty_folder(folder, **head, recursive=self._draw(st.booleans()))

    def _marker(self) -> None:
        kind = self.one_of(MarkerKind.SCAN_BEGIN, MarkerKind.SCAN_DONE)
        account = self.one_of(None, *ACCOUNTS)
        self._log.add(marker(kind, account=account), published_ms=PUBLISHED_MS)

    def _junk(self) -> None:
        key = self.one_of(None, *(account.encode() for account in ACCOUNTS))
        self._log.add_raw(key, self.one_of(None, b"", b"{", b"\x81\xa5event\xa3put"), PUBLISHED_MS)

    def _again(self, *, conflict: bool) -> None:
        """Send something a second time, honestly or with other content."""
        event: Change = self.one_of(*self._sent)
        if conflict and isinstance(event, Put):
            event = msgspec.structs.replace(event, state={**event.state, "flags": ["draft"]})
        self._log.add(event, published_ms=PUBLISHED_MS + 5, json=self._draw(st.booleans()))


@st.composite
def streams(draw: st.DrawFn, *, max_size: int = 16) -> list[MemoryRecord]:
    """The records of a partition, offsets from 0 without hole."""
    writer = _Writer(draw)
    for _ in range(draw(st.integers(1, max_size))):
        writer.step()
    return writer.records


def cuts(records: Sequence[MemoryRecord]) -> st.SearchStrategy[set[int]]:
    """Where batches end: any set of offsets."""
    return st.sets(st.integers(0, max(len(records) - 1, 0)))


class Epoch(NamedTuple):
    """What one owner journalled: records *first* to *next*, cut into batches at *cuts*."""

    number: int
    first: int
    next: int
    cuts: set[int]


@st.composite
def epochs(draw: st.DrawFn, records: int, *, max_size: int = 4) -> list[Epoch]:
    """Up to *max_size* epochs that cover all *records* together, each taking over at or before the
    end of what is covered, as owners do; some share a number.
    """
    written: list[Epoch] = []
    end = 0
    while end < records:
        last = len(written) == max_size - 1
        next_ = records if last else draw(st.integers(end + 1, records))
        first = draw(st.integers(0, end))
        cut_at = draw(st.sets(st.integers(first, next_ - 1)))
        written.append(Epoch(draw(st.integers(1, len(written) + 1)), first, next_, cut_at))
        end = next_
    return written
