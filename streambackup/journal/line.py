"""A line: one run as readers meet it, from a frame or from an account log.

It is the run's last event in full, where and when it was published, and of the events before it
what the fold needs. Account logs hold lines as JSON, so that a person with ``grep`` and ``jq`` can
read a backup.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from streambackup.domain.entry import Entry, Member, Operation
from streambackup.domain.finding import Finding
from streambackup.domain.partition_event import PartitionEvent, PartitionEventKind
from streambackup.domain.transaction import Position, TransactionId
from streambackup.events.codec import decode_kept_event
from streambackup.events.mailbox import (
    AccountDelete,
    EmptyFolder,
    FolderDelete,
    MailboxEvent,
    Marker,
    Put,
)
from streambackup.journal.content_checksum import content_checksum
from streambackup.journal.frame import FrameKind
from streambackup.journal.payload import Gap, Quarantined, Records, Row, decode_payload
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
    cluster: Sequence[PlacedFrame], partition: int, floor: int, *, account: str | None = None
) -> Iterable[Line | PartitionEvent]:
    """What the overlapping frames of *cluster* hold at or behind *floor*, each offset once, in
    stream order.

    With *account*, only what concerns it. Records win over quarantines, and both over gaps.
    """
    if (
        len(cluster) == 1
        and cluster[0].frame.kind is FrameKind.RECORDS
        and cluster[0].first >= floor
    ):
        return _in_order(cluster[0], partition, account)
    seen = set[int]()
    lines: list[Line] = []
    quarantined: dict[int, tuple[str, Quarantined]] = {}
    for placed, records in _decoded(cluster):
        fresh = []
        for row in records.rows:
            line = _line(placed.frame.generation, partition, row, account)
            if line is not None and (rest := line.without(seen)) is not None:
                fresh.append(rest)
        for line in fresh:
            seen.update(line.offsets())
        lines.extend(fresh)
        quarantined.update(
            (record.offset, (placed.frame.generation, record)) for record in records.quarantined
        )
    kept = [line for line in lines if max(line.offsets()) >= floor]
    events = [
        _quarantine_event(generation, partition, record)
        for offset, (generation, record) in quarantined.items()
        if offset >= floor and offset not in seen
    ]
    events += _gap_events(cluster, partition, floor)
    return _merged(kept, events, account)


def _decoded(cluster: Sequence[PlacedFrame]) -> list[tuple[PlacedFrame, Records]]:
    """The frames of records, those first that set nothing aside: an older release's run may miss a
    member that it could not read.
    """
    frames = [
        (placed, decode_payload(placed.frame.payload, Records))
        for placed in cluster
        if placed.frame.kind is FrameKind.RECORDS
    ]
    return sorted(frames, key=lambda frame: len(frame[1].quarantined))


def _in_order(
    placed: PlacedFrame, partition: int, account: str | None
) -> Iterable[Line | PartitionEvent]:
    """The usual case: one frame that nothing overlaps. Lines are made when they are asked for."""
    generation = placed.frame.generation
    records = decode_payload(placed.frame.payload, Records)
    lines = (
        line
        for row in records.rows
        if (line := _line(generation, partition, row, account)) is not None
    )
    if not records.quarantined:
        return map(_element, lines)
    events = [_quarantine_event(generation, partition, aside) for aside in records.quarantined]
    return _merged(lines, events, account)


def _merged(
    lines: Iterable[Line], events: list[PartitionEvent], account: str | None
) -> list[Line | PartitionEvent]:
    elements = [_element(line) for line in lines]
    elements += [event for event in events if account is None or event.concerns(account)]
    elements.sort(key=place)
    return elements


def _element(line: Line) -> Line | PartitionEvent:
    """The line; a marker of the whole partition as what it is."""
    event = line.event
    return _marker_event(line) if type(event) is Marker and event.account is None else line


def place(element: Line | PartitionEvent) -> int:
    """The offset that orders *element* within its partition."""
    return element.first if isinstance(element, Line) else element.position.offset


class _Peek(msgspec.Struct):
    account: str | None = None


_peek = msgspec.msgpack.Decoder(_Peek).decode
_peek_json = msgspec.json.Decoder(_Peek).decode


def _line(generation: str, partition: int, row: Row, account: str | None) -> Line | None:
    """The row as a line; None where it is another account's (decoding no more than the name)."""
    if account is not None:
        peek = _peek_json if row.value[:1] == b"{" else _peek
        named = peek(row.value).account
        if named is not None and named != account:
            return None
    event = decode_kept_event(row.value)
    return Line(generation, partition, row.offset, row.published_ms, event, row.earlier)


def _marker_event(line: Line) -> PartitionEvent:
    assert isinstance(line.event, Marker)
    return PartitionEvent(
        kind=PartitionEventKind.MARKER,
        position=Position(line.generation, line.partition, line.first),
        end=line.first + 1,
        time_ms=line.event.time_ms,
        reason=line.event.kind,
    )


def _quarantine_event(generation: str, partition: int, record: Quarantined) -> PartitionEvent:
    account = None
    if record.key is not None:
        account = record.key.decode("utf-8", "replace")
    return PartitionEvent(
        kind=PartitionEventKind.QUARANTINE,
        position=Position(generation, partition, record.offset),
        end=record.offset + 1,
        time_ms=record.published_ms,
        reason=record.reason,
        account=account,
        key=record.key,
        value=record.value,
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


def _gap_events(cluster: Sequence[PlacedFrame], partition: int, floor: int) -> list[PartitionEvent]:
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
