"""The tail of a partition: what is journalled and not filed yet,
opened before any account log is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from streambackup.domain.partition_event import PartitionEvent
from streambackup.journal.line import Line, accounts_in, clusters_and_holes, lines_of
from streambackup.journal.mark import farthest_mark
from streambackup.journal.place import Place
from streambackup.journal.segment import PartitionPath
from streambackup.journal.union import open_segments
from streambackup.reading.partition_log import filed_events

if TYPE_CHECKING:
    from streambackup.reading.sorted_tail import SortedTail


class Tail:
    """A snapshot: segments are opened when it is made, and may be filed and deleted afterwards.

    Asked for one account it decodes little of the others. Asked for a second one it sorts all that
    it holds by account, once and on disk: memory does not grow with the backlog. The partition log
    is no part of the snapshot: it is read as far as it goes.
    """

    def __init__(self, path: PartitionPath, where: Place) -> None:
        self.path = path
        self._where = where
        self._floor = farthest_mark(path).filed_to
        self._segments = open_segments(path, self._floor)
        self._asked_for: str | None = None
        self._sorted: SortedTail | None = None

    def elements(self, account: str) -> Iterator[Line | PartitionEvent]:
        """What the tail holds of *account*."""
        self._ask_for(account)
        if self._sorted is None:
            return self._elements(account)
        return self._sorted.elements(account)

    def filed_events(self, account: str) -> Iterator[PartitionEvent]:
        """What the partition log says of *account*; ask behind its account log, whose lines it may
        precede.
        """
        self._ask_for(account)
        if self._sorted is None:
            return (event for event in filed_events(self.path) if event.concerns(account))
        return self._sorted.filed_events(account)

    def _ask_for(self, account: str) -> None:
        if self._asked_for is None:
            self._asked_for = account
        elif self._sorted is None and account != self._asked_for:
            # Imported here because most commands ask for one account, and start sooner without.
            from streambackup.reading.sorted_tail import SortedTail

            self._sorted = SortedTail(self.path, self._elements())

    def accounts(self) -> Iterator[str]:
        """The accounts that the tail holds lines of; one may come again."""
        for _, cluster in clusters_and_holes(self.path, self._segments, self._floor, []):
            yield from accounts_in(cluster, self._where)

    def _elements(self, account: str | None = None) -> Iterator[Line | PartitionEvent]:
        for hole, cluster in clusters_and_holes(self.path, self._segments, self._floor, []):
            if hole is not None:
                yield hole
            yield from lines_of(cluster, self._where, self._floor, account=account)
