"""Coalescing: the records of a batch become lines, a run in one line, and what cannot be used is
set aside.

Pure. What a batch comes to is a function of its records alone; the fold joins what batches cut
apart.
"""

from __future__ import annotations

from collections import defaultdict

import msgspec

from streambackup.domain.entry import ItemType, Member
from streambackup.domain.moment import clamp
from streambackup.domain.partition_event import PartitionEvent
from streambackup.domain.run import change_falls
from streambackup.domain.transaction import TransactionId
from streambackup.errors import InvalidEventError
from streambackup.events.codec import decode_kept_event
from streambackup.events.mailbox import AccountDelete, Delete, MailboxEvent, Put
from streambackup.journal.admission import Admission
from streambackup.journal.content_checksum import content_checksum
from streambackup.journal.line import Line, marker_event
from streambackup.journal.payload import Records
from streambackup.journal.place import Place
from streambackup.metadata.account_log import encode_line


class Coalesced(msgspec.Struct, frozen=True):
    """What a batch comes to: each account's lines, and what concerns the partition.

    ``joined`` records share another's line. ``described`` are accounts whose own item changes.
    """

    lines: dict[str, list[bytes]]
    events: list[PartitionEvent]
    joined: int
    described: set[str]


def coalesce(records: Records, *, where: Place, moment_ms: int) -> Coalesced:
    """Decode *records* of the partition *where* and join the runs among them."""
    batch = _Batch(records, where, moment_ms)
    batch.read()
    return batch.coalesced()


class _Run:
    """Records that share a line: which is the first, the event of the last, and those before it."""

    __slots__ = ("earlier", "event", "first")

    def __init__(self, first: int, event: Put) -> None:
        self.first = first
        self.event = event
        self.earlier: list[Member] = []


class _Account:
    """Which records of the batch are an account's, and which put each of its items last, if a run
    may go on there.
    """

    __slots__ = ("puts", "records")

    def __init__(self) -> None:
        self.records: list[int] = []
        self.puts: dict[str, int] = {}


class _Batch:
    """One pass over a batch, whose records are known by how manieth they are.

    Few records run on within one batch, so an event becomes its line and is dropped at once, which
    halves the cost of decoding it. Where its item comes again it is decoded again, and the line of
    a run is made at the end.
    """

    def __init__(self, records: Records, where: Place, moment_ms: int) -> None:
        self._records = records
        self._where = where
        self._moment_ms = moment_ms
        self._lines: list[bytes] = []  # of each record; empty where it has none of its own
        self._moments: list[int] = []
        self._accounts = defaultdict[str, _Account](_Account)
        self._runs: dict[int, _Run] = {}  # by their last
        self._events: list[PartitionEvent] = []
        self._described: set[str] = set()
        self._joined = 0

    def read(self) -> None:
        admission, accounts = Admission(self._where), self._accounts
        generation, partition = self._where.generation, self._where.partition
        event_of = admission.event_of
        for at, (offset, published_ms, key, value) in enumerate(self._records.rows()):
            try:
                event = event_of(key, value)
            except InvalidEventError as error:
                aside = admission.set_aside(offset, published_ms, key, value, str(error))
                self._add_event(aside)
                continue
            line = Line(generation, partition, offset, published_ms, event)
            name = event.account
            if name is None:
                self._end_all_runs(line)
            else:
                self._add(at, line, accounts[name])

    def _add(self, at: int, line: Line, account: _Account) -> None:
        """Take in a record of an account, and let a plain put go on with the run that its item is
        in.
        """
        account.records.append(at)
        self._lines.append(encode_line(line))
        event, moments, moment_ms = line.event, self._moments, self._moment_ms
        if type(event) is not Put or event.after is not None:
            moments.append(0)
            self._end_runs(event, account)
            return
        # Where nothing is coalesced, each has a moment of its own.
        moment = clamp(event.time_ms, line.published_ms) // moment_ms if moment_ms else at
        moments.append(moment)
        item = event.item
        before = account.puts.get(item)
        account.puts[item] = at
        if before is not None and moments[before] == moment:
            self._join(before, at, event)
        if event.type is ItemType.ACCOUNT:
            self._described.add(event.account)

    def _add_event(self, event: PartitionEvent) -> None:
        self._events.append(event)
        self._lines.append(b"")
        self._moments.append(0)

    def _end_all_runs(self, marker: Line) -> None:
        self._add_event(marker_event(marker))
        for account in self._accounts.values():
            account.puts.clear()

    def _join(self, before: int, at: int, event: Put) -> None:
        """Let a record share the line of the one *before*, of the same moment, if it goes on with
        its run.
        """
        run = self._runs.get(before)
        if run is None:
            value = self._records.values[before]
            assert value is not None
            former = decode_kept_event(value)
            assert isinstance(former, Put)
            run = _Run(before, former)
        if _continues(run.event, event):
            run.earlier.append(self._member(run.event, before))
            run.event = event
            self._runs.pop(before, None)
            self._runs[at] = run
            self._lines[at] = b""
            self._joined += 1

    def _member(self, event: Put, at: int) -> Member:
        return Member(
            TransactionId(event.source, event.incarnation, event.sequence),
            event.time_ms,
            event.change,
            self._records.offsets[at],
            self._records.published_ms[at],
            content_checksum(event),
        )

    def _end_runs(self, event: MailboxEvent, account: _Account) -> None:
        """A delete ends its item's run; all else that is no plain put ends every run of the
        account.
        """
        if type(event) is Delete and event.after is None:
            account.puts.pop(event.item, None)
        else:
            account.puts.clear()
        if _describes(event):
            assert event.account is not None
            self._described.add(event.account)

    def coalesced(self) -> Coalesced:
        """What was read; a run stands where its first record did."""
        records, lines = self._records, self._lines
        for last, run in self._runs.items():
            line = Line(
                self._where.generation,
                self._where.partition,
                records.offsets[last],
                records.published_ms[last],
                run.event,
                tuple(run.earlier),
            )
            lines[run.first] = encode_line(line)
        by_account = {
            name: [lines[at] for at in account.records if lines[at]]
            for name, account in self._accounts.items()
        }
        return Coalesced(by_account, self._events, self._joined, self._described)


def _describes(event: MailboxEvent) -> bool:
    """Whether it is the account's own item that changes."""
    if type(event) is Put:
        return event.type is ItemType.ACCOUNT
    return type(event) is AccountDelete or (type(event) is Delete and event.item == event.account)


def _continues(before: Put, after: Put) -> bool:
    """The run rule (domain/run.py) on events of one item and one moment."""
    return (
        before.digest == after.digest
        and before.sequence < after.sequence
        and before.source == after.source
        and before.incarnation == after.incarnation
        and not change_falls(before.change, after.change)
    )
