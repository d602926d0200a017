"""Coalescing: the records of one fetch become rows, a run in one row, and what cannot be used is
set aside.

Pure. What a batch holds is a function of its records alone; the fold joins what a fetch cut apart.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from streambackup.bus.port import Record
from streambackup.domain.entry import Member
from streambackup.domain.moment import AHEAD_MAX_MS
from streambackup.domain.run import change_falls
from streambackup.domain.transaction import TransactionId
from streambackup.errors import InvalidEventError
from streambackup.events.codec import decode_mailbox_event
from streambackup.events.mailbox import Delete, MailboxEvent, Put
from streambackup.journal.content_checksum import content_checksum
from streambackup.journal.payload import Quarantined, Records, Row
from streambackup.realtime.place import Place


class Coalesced(msgspec.Struct, frozen=True):
    """A batch ready for the journal. ``taken`` records went in; the first one left belongs to
    ``foreign``.

    ``foreign`` is the generation that a record was stamped with, if it is not this one.
    """

    records: Records
    taken: int
    foreign: str | None
    last_transaction_ms: int


class _OpenRun:
    """The last put of a run in this batch, and the members before it."""

    __slots__ = ("earlier", "event", "moment", "record", "slot")

    def __init__(self, slot: int, event: Put, record: Record, moment: int) -> None:
        self.slot = slot
        self.event = event
        self.record = record
        self.moment = moment
        self.earlier: list[Member] = []


def coalesce(
    records: Sequence[Record], *, generation: str, place: Place, moment_ms: int
) -> Coalesced:
    """Decode *records* of the partition at *place* and join the runs among them.

    Stops ahead of a record stamped with another generation than *generation*.
    """
    batch = _Batch(generation, place, moment_ms)
    taken = 0
    for record in records:
        if not batch.add(record):
            break
        taken += 1
    return batch.done(taken)


class _Batch:
    """One pass over a batch."""

    def __init__(self, generation: str, place: Place, moment_ms: int) -> None:
        self._generation = generation
        self._place = place
        self._moment_ms = moment_ms
        self._rows: list[Row] = []
        self._runs: dict[str, dict[str, _OpenRun]] = {}
        self._joined: dict[int, _OpenRun] = {}
        self._quarantined: list[Quarantined] = []
        self._foreign: str | None = None
        self._last_ms = 0

    def add(self, record: Record) -> bool:
        """Take *record*; False where it belongs to another generation."""
        value = record.value
        try:
            event = decode_mailbox_event(value)
            if event.generation is not None and event.generation != self._generation:
                self._foreign = event.generation
                return False
            self._check_key(event, record.key)
        except InvalidEventError as error:
            self._quarantined.append(
                Quarantined(record.offset, record.timestamp, str(error), record.key, value)
            )
            return True
        if type(event) is Put and event.after is None:
            self._add_put(event, record)
        else:
            self._end_runs(event)
            self._append(record)
        return True

    def _check_key(self, event: MailboxEvent, key: bytes | None) -> None:
        """The key decides the partition, so it has to name the account."""
        account = event.account
        if account is None:
            return
        if key is None or account.encode() != key:
            raise InvalidEventError("the record's key is not the event's account")
        if account not in self._runs:
            self._place.check(key, "account")

    def _add_put(self, event: Put, record: Record) -> None:
        runs = self._runs.get(event.account)
        if runs is None:
            runs = self._runs[event.account] = {}
        time_ms = event.time_ms
        if time_ms > record.timestamp + AHEAD_MAX_MS:
            time_ms = record.timestamp
        moment = time_ms // self._moment_ms if self._moment_ms else -1
        run = runs.get(event.item)
        if run is not None and run.moment == moment >= 0 and _continues(run.event, event):
            run.earlier.append(_member(run.event, run.record))
            run.event, run.record = event, record
            self._joined[run.slot] = run
        else:
            runs[event.item] = _OpenRun(len(self._rows), event, record, moment)
            self._append(record)

    def _append(self, record: Record) -> None:
        value = record.value
        assert value is not None
        self._rows.append(Row(record.offset, record.timestamp, value))
        self._last_ms = record.timestamp

    def _end_runs(self, event: MailboxEvent) -> None:
        """A delete ends its item's run; all else that is no plain put ends every run of the
        account.
        """
        if event.account is None:
            self._runs.clear()
        elif type(event) is Delete and event.after is None:
            self._runs.get(event.account, {}).pop(event.item, None)
        else:
            self._runs.pop(event.account, None)

    def done(self, taken: int) -> Coalesced:
        rows = self._rows
        for slot, run in self._joined.items():
            value = run.record.value
            assert value is not None
            rows[slot] = Row(run.record.offset, run.record.timestamp, value, tuple(run.earlier))
        return Coalesced(Records(rows, self._quarantined), taken, self._foreign, self._last_ms)


def _continues(before: Put, after: Put) -> bool:
    """The run rule (domain/run.py) on events, moments compared already."""
    return (
        before.digest == after.digest
        and before.sequence < after.sequence
        and before.source == after.source
        and before.incarnation == after.incarnation
        and not change_falls(before.change, after.change)
    )


def _member(event: Put, record: Record) -> Member:
    return Member(
        TransactionId(event.source, event.incarnation, event.sequence),
        event.time_ms,
        event.change,
        record.offset,
        record.timestamp,
        content_checksum(event),
    )
