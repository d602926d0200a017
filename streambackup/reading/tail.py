"""The tail of a partition: what is journalled and not filed yet,
opened before any account log is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from streambackup.domain.partition_event import PartitionEvent
from streambackup.journal.line import Line, clusters_and_holes, lines_of
from streambackup.journal.mark import farthest_mark
from streambackup.journal.segment import PartitionPath
from streambackup.journal.union import open_segments
from streambackup.metadata.account_log import Unreadable, decode_events

if TYPE_CHECKING:
    from streambackup.reading.sorted_tail import SortedTail

PARTITION_LOG = "*.partition.jsonl"


class Tail:
    """A snapshot: segments are opened when it is made, and may be filed and deleted afterwards.

    Asked for one account it decodes little of the others. Asked for a second one it sorts all that
    it holds by account, once and on disk: memory does not grow with the backlog.
    """

    def __init__(self, path: PartitionPath) -> None:
        self.path = path
        self._floor = farthest_mark(path).filed_to
        self._segments = open_segments(path, self._floor)
        self._asked_for: str | None = None
        self._sorted: SortedTail | None = None

    def elements(self, account: str) -> Iterator[Line | PartitionEvent]:
        """What the tail holds of *account*."""
        if self._sorted is None and self._asked_for in (None, account):
            self._asked_for = account
            return self._elements(account)
        if self._sorted is None:
            # Imported here because most commands ask for one account, and start sooner without.
            from streambackup.reading.sorted_tail import SortedTail

            self._sorted = SortedTail(self._elements())
        return self._sorted.elements(account)

    def accounts(self) -> Iterator[str]:
        """The account of each line that the tail holds."""
        return (e.account for e in self._elements() if isinstance(e, Line))

    def _elements(self, account: str | None = None) -> Iterator[Line | PartitionEvent]:
        for hole, cluster in clusters_and_holes(self.path, self._segments, self._floor, []):
            if hole is not None:
                yield hole
            yield from lines_of(cluster, self.path.partition, self._floor, account=account)


def filed_events(path: PartitionPath) -> Iterator[PartitionEvent]:
    """The partition log: gaps, markers and quarantined records, each as often as it was filed."""
    for file in sorted(path.directory.glob(PARTITION_LOG)):
        with file.open("rb") as rows:
            for row in rows:
                yield from (e for e in decode_events(row) if not isinstance(e, Unreadable))
