"""The tail of a partition: what is journalled and not filed yet,
opened before any account log is read.
"""

from __future__ import annotations

from collections.abc import Iterator

from streambackup.domain.finding import Finding
from streambackup.domain.partition_event import PartitionEvent
from streambackup.journal.line import Line, clusters_and_holes, lines_of
from streambackup.journal.mark import farthest_mark
from streambackup.journal.segment import PartitionPath
from streambackup.journal.union import PlacedFrame, open_segments
from streambackup.metadata.account_log import Unreadable, decode_events, note_unreadable

PARTITION_LOG = "*.partition.jsonl"


class Tail:
    """A snapshot: segments are read when it is made, and may be filed and deleted afterwards."""

    def __init__(self, path: PartitionPath) -> None:
        self._path = path
        self.floor = farthest_mark(path).filed_to
        self._segments = open_segments(path, self.floor)
        self._by_account: dict[str, list[Line]] | None = None
        self._events: list[PartitionEvent] = []
        self.findings: list[Finding] = []

    def elements(self, account: str) -> list[Line | PartitionEvent]:
        """What the tail holds of *account*, decoding little of the rest."""
        found: list[Line | PartitionEvent] = []
        if self._by_account is not None:
            found += self._by_account.get(account, [])
            found += [event for event in self._events if event.concerns(account)]
            return found
        for hole, cluster in self._clusters([]):
            found += [] if hole is None else [hole]
            found += lines_of(cluster, self._path.partition, self.floor, account=account)
        return found

    def _clusters(
        self, findings: list[Finding]
    ) -> Iterator[tuple[PartitionEvent | None, list[PlacedFrame]]]:
        return clusters_and_holes(self._path, self._segments, self.floor, findings)

    def accounts(self) -> set[str]:
        """Every account that the tail holds anything of; decodes all of it, once."""
        if self._by_account is None:
            self._by_account = {}
            for hole, cluster in self._clusters(self.findings):
                self._events += [] if hole is None else [hole]
                for element in lines_of(cluster, self._path.partition, self.floor):
                    if isinstance(element, PartitionEvent):
                        self._events.append(element)
                    else:
                        self._by_account.setdefault(element.account, []).append(element)
            self._segments = []
        return set(self._by_account)

    def filed_events(self) -> list[PartitionEvent]:
        """The partition log: filed gaps, markers and quarantined records, each once."""
        return filed_events(self._path, self.findings)


def filed_events(path: PartitionPath, findings: list[Finding]) -> list[PartitionEvent]:
    """A partition's filed gaps, markers and quarantined records, each once, in order."""
    events: dict[tuple[int, str], PartitionEvent] = {}
    if not path.directory.is_dir():
        return []
    for file in sorted(path.directory.glob(PARTITION_LOG)):
        for event in decode_events(file.read_bytes()):
            if isinstance(event, Unreadable):
                findings.append(note_unreadable(event, file))
            else:
                events[event.position.offset, event.kind] = event
    return [events[key] for key in sorted(events)]
