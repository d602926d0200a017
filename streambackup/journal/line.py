"""A line: one run as readers meet it, from a frame or from an account log.

It is the run's last event in full, where and when it was published, and of the events before it
what the fold needs. Account logs hold lines as JSON, so that a person with ``grep`` and ``jq`` can
read a backup.
"""

from __future__ import annotations

import contextlib
import heapq
from collections.abc import Iterator, Sequence

import msgspec

from streambackup.domain.entry import Entry, Member, Operation
from streambackup.domain.finding import Finding
from streambackup.domain.partition_event import PartitionEvent, PartitionEventKind
from streambackup.domain.transaction import Position, TransactionId
from streambackup.errors import InvalidEventError
from streambackup.events.mailbox import (
    AccountDelete,
    EmptyFolder,
    FolderDelete,
    MailboxEvent,
    Marker,
    Put,
)
from streambackup.journal.admission import Admission
from streambackup.journal.content_checksum import content_checksum
from streambackup.journal.frame import FrameKind
from streambackup.journal.payload import Gap, Records, Row, decode_payload
from streambackup.journal.place import Place
from streambackup.journal.segment import PartitionPath
from streambackup.journal.union import OpenedSegment, PlacedFrame, clusters, uncovered


class Line(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """``offset`` is None where the event's own transaction was read from another epoch already."""

    generation: str
    partition: int
    offset: int | None
    published_ms: int
    event: MailboxEvent
    earlier: tuple[Member, ...] = ()

    @property
    def account(self) -> str:
        assert self.event.account is not None
        return self.event.account

    @property
    def first(self) -> int:
        """The offset of the run's first member."""
        if self.earlier:
            return self.earlier[0].offset
        assert self.offset is not None
        return self.offset

    def offsets(self) -> list[int]:
        own = [] if self.offset is None else [self.offset]
        return [*(member.offset for member in self.earlier), *own]

    def without(self, seen: set[int]) -> Line | None:
        """The line less the members whose offsets are in *seen*; None when nothing is left."""
        own = None if self.offset in seen else self.offset
        earlier = tuple(member for member in self.earlier if member.offset not in seen)
        if own is None and not earlier:
            return None
        if own == self.offset and len(earlier) == len(self.earlier):
            return self
        return msgspec.structs.replace(self, offset=own, earlier=earlier)


def entry_of(line: Line) -> Entry:
    """What the fold takes."""
    event = line.event
    members = line.earlier
    if line.offset is not None:
        id = _transaction_id(event)
        change = None if isinstance(event, Marker) else event.change
        own = Member(
            id, event.time_ms, change, line.offset, line.published_ms, content_checksum(event)
        )
        members = (*members, own)
    generation, partition = line.generation, line.partition
    if isinstance(event, Put):
        return Entry(
            generation=generation,
            partition=partition,
            account=event.account,
            operation=Operation.PUT,
            members=members,
            item=event.item,
            type=event.type,
            after=event.after,
            digest=event.digest,
            size=event.size,
            content=event.content,
            state=event.state,
        )
    return Entry(
        generation=generation,
        partition=partition,
        account=line.account,
        operation=Operation(str(event.__struct_config__.tag)),
        members=members,
        item=_subject(event),
        after=None if isinstance(event, Marker | EmptyFolder | FolderDelete) else event.after,
        recursive=isinstance(event, EmptyFolder) and event.recursive,
        marker=event.kind if isinstance(event, Marker) else None,
    )


def _transaction_id(event: MailboxEvent) -> TransactionId:
    if isinstance(event, Marker):
        return TransactionId(f"marker.{event.kind}", "0" * 8, 0)
    return TransactionId(event.source, event.incarnation, event.sequence)


def _subject(event: MailboxEvent) -> str:
    """The item an event is about: for an account's delete, the account's own item."""
    if isinstance(event, EmptyFolder | FolderDelete):
        return event.folder
    if isinstance(event, AccountDelete):
        return event.account
    return "" if isinstance(event, Marker) else event.item


def lines_of(
    cluster: Sequence[PlacedFrame], where: Place, floor: int, *, account: str | None = None
) -> Iterator[Line | PartitionEvent]:
    """What the overlapping frames of *cluster* hold at or behind *floor*, each offset once, in
    stream order, a line for each record. Lines are made when they are asked for.

    With *account*, only what concerns it. Records win over gaps.
    """
    elements = _elements(records_in(cluster, floor), where, account)
    gaps = sorted(gap_events(cluster, where.partition, floor), key=place)
    return heapq.merge(elements, gaps, key=place) if gaps else elements


def records_in(cluster: Sequence[PlacedFrame], floor: int, end: int | None = None) -> Records:
    """The records that the frames of *cluster* hold from *floor* to *end*, each offset once."""
    batches = [
        decode_payload(placed.frame.payload, Records)
        for placed in cluster
        if placed.frame.kind is FrameKind.RECORDS
    ]
    within = all(
        floor <= placed.first and (end is None or placed.next <= end) for placed in cluster
    )
    if len(batches) == 1 and within:
        return batches[0]
    by_offset: dict[int, Row] = {}
    for batch in batches:
        by_offset.update((row[0], row) for row in batch.rows())
    rows = (by_offset[o] for o in sorted(by_offset) if floor <= o and (end is None or o < end))
    return Records.of_rows(rows)


def accounts_in(cluster: Sequence[PlacedFrame], where: Place) -> Iterator[str]:
    """The accounts that have a line in the frames of *cluster*; little is decoded for it."""
    admission = Admission(where)
    known = set[bytes | None]()
    for _, _, key, value in records_in(cluster, 0).rows():
        if key not in known:
            with contextlib.suppress(InvalidEventError):
                account = admission.event_of(key, value).account
                if account is not None:
                    known.add(key)
                    yield account


def _elements(
    records: Records, where: Place, account: str | None
) -> Iterator[Line | PartitionEvent]:
    admission = Admission(where)
    for offset, published_ms, key, value in records.rows():
        if account is not None and not _may_concern(account, key, value):
            continue
        try:
            event = admission.event_of(key, value)
        except InvalidEventError as error:
            aside = admission.set_aside(offset, published_ms, key, value, str(error))
            if account is None or aside.concerns(account):
                yield aside
            continue
        line = Line(where.generation, where.partition, offset, published_ms, event)
        if event.account is None:
            yield marker_event(line)
        elif account is None or event.account == account:
            yield line


def _may_concern(account: str, key: bytes | None, value: bytes | None) -> bool:
    """Whether a record has to be decoded for *account*: its key names that, or it may be
    everybody's marker, a word that JSON may spell in many ways.
    """
    if key is not None and key.decode("utf-8", "replace") == account:
        return True
    return value is not None and (b"marker" in value or value[:1] == b"{")


def place(element: Line | PartitionEvent) -> int:
    """The offset that orders *element* within its partition."""
    return element.first if isinstance(element, Line) else element.position.offset


def marker_event(line: Line) -> PartitionEvent:
    """A marker of the whole partition as what it is."""
    assert isinstance(line.event, Marker)
    return PartitionEvent(
        kind=PartitionEventKind.MARKER,
        position=Position(line.generation, line.partition, line.first),
        end=line.first + 1,
        time_ms=line.event.time_ms,
        reason=line.event.kind,
    )


def clusters_and_holes(
    path: PartitionPath,
    segments: Sequence[OpenedSegment],
    floor: int,
    findings: list[Finding],
    *,
    end: int | None = None,
) -> Iterator[tuple[PartitionEvent | None, list[PlacedFrame]]]:
    """The clusters from *floor* to *end*, or as far as there are any, each with the hole before it.

    A hole is a gap nobody recorded: frames that are damaged, or in a segment that is gone. The last
    cluster is empty where what is missing is the end.
    """
    reach = floor
    for cluster in clusters(segments, floor, findings):
        first = cluster[0]
        if end is not None and first.first >= end:
            break
        hole = None
        if first.first > reach:
            hole = _hole(path, reach, first.first, first.frame.last.published_ms)
        yield hole, cluster
        reach = max(reach, *(placed.next for placed in cluster))
    if end is not None and reach < end:
        yield _hole(path, reach, end, 0), []


def _hole(path: PartitionPath, first: int, end: int, time_ms: int) -> PartitionEvent:
    return PartitionEvent(
        kind=PartitionEventKind.GAP,
        position=path.position(first),
        end=end,
        time_ms=time_ms,
        reason="the journal has no readable frame of it",
    )


def gap_events(cluster: Sequence[PlacedFrame], partition: int, floor: int) -> list[PartitionEvent]:
    events = []
    for placed in cluster:
        if placed.frame.kind is not FrameKind.GAP:
            continue
        gap = decode_payload(placed.frame.payload, Gap)
        for first, end in uncovered(placed, cluster, floor):
            events.append(
                PartitionEvent(
                    kind=PartitionEventKind.GAP,
                    position=Position(placed.frame.generation, partition, first),
                    end=end,
                    time_ms=gap.time_ms,
                    reason=gap.reason,
                )
            )
    return events
