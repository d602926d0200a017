"""Coalescing: the records of one fetch become rows, a run in one row, and what cannot be used is
set aside.

Pure. What a batch holds is a function of its records alone; the fold joins what a fetch cut apart.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from streambackup.bus.port import Record
from streambackup.domain.entry import Member
from streambackup.domain.moment import clamp
from streambackup.domain.run import change_falls
from streambackup.domain.transaction import TransactionId
from streambackup.errors import InvalidEventError
from streambackup.events.codec import decode_kept_event, decode_mailbox_event
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


def coalesce(records: Sequence[Record], *, place: Place, moment_ms: int) -> Coalesced:
    """Decode *records* of the partition at *place* and join the runs among them.

    Stops ahead of a record that may be of another life of the topic.
    """
    batch = _Batch(records, place, moment_ms)
    foreign = batch.read()
    return batch.coalesced(foreign)


class _Account:
    """An account in this batch: where and when each of its items was last put, if a run may go on
    there.
    """

    __slots__ = ("name", "puts")

    def __init__(self, name: str) -> None:
        self.name = name
        self.puts: dict[str, tuple[int, int]] = {}


class _Run:
    """Records that share a row: the place of the first, the event of the last,
    and those before it.
    """

    __slots__ = ("earlier", "event", "first")

    def __init__(self, first: int, event: Put) -> None:
        self.first = first
        self.event = event
        self.earlier: list[Member] = []


class _Batch:
    """One pass over a batch.

    Few records run on within one batch, so an event is dropped as soon as it was looked at, which
    halves the cost of decoding it; where its item comes again, it is decoded again.
    """

    def __init__(self, records: Sequence[Record], place: Place, moment_ms: int) -> None:
        self._records = records
        self._place = place
        self._moment_ms = moment_ms
        self._rows: list[Row | None] = []
        self._accounts: dict[bytes | None, _Account] = {}
        self._runs: dict[int, _Run] = {}
        self._joined: list[int] = []
        self._quarantined: list[Quarantined] = []

    def read(self) -> str | None:
        """Read up to a record of another generation, and return that."""
        accounts = self._accounts
        generation = self._place.generation
        add_row = self._rows.append
        for at, record in enumerate(self._records):
            value = record.value
            try:
                event = decode_mailbox_event(value)
                stamped = event.generation
                if stamped != generation and self._place.is_foreign(stamped):
                    return stamped
                account = accounts.get(record.key)
                if account is None or account.name != event.account:
                    account = self._account(event, record.key)
            except InvalidEventError as error:
                self._set_aside(record, str(error))
                continue
            assert value is not None
            add_row(Row(record.offset, record.timestamp, value))
            if type(event) is Put and event.after is None:
                item = event.item
                before = account.puts.get(item)
                account.puts[item] = (at, event.time_ms)
                if before is not None and self._moment(*before) == self._moment(at, event.time_ms):
                    self._join(before[0], at, event)
            else:
                self._end_runs(event, account)
        return None

    def _account(self, event: MailboxEvent, key: bytes | None) -> _Account:
        """The account of *event*. The key decides the partition, so it has to name the account.

        Raises:
            InvalidEventError: it does not, or the record stands in a partition not its own.
        """
        name = event.account
        if name is None:
            return _Account("")
        if key is None or name.encode() != key:
            raise InvalidEventError("the record's key is not the event's account")
        self._place.check(key, "account")
        account = self._accounts[key] = _Account(name)
        return account

    def _set_aside(self, record: Record, reason: str) -> None:
        aside = Quarantined(record.offset, record.timestamp, reason, record.key, record.value)
        self._quarantined.append(aside)
        self._rows.append(None)

    def _join(self, before: int, at: int, event: Put) -> None:
        """Let the record *at* share the row of the one *before*, of the same moment, if it goes on
        with its run.
        """
        run = self._runs.get(before)
        if run is None:
            kept = self._records[before].value
            assert kept is not None
            former = decode_kept_event(kept)
            assert isinstance(former, Put)
            run = _Run(before, former)
        if _continues(run.event, event):
            run.earlier.append(_member(run.event, self._records[before]))
            run.event = event
            self._runs.pop(before, None)
            self._runs[at] = run
            self._joined.append(at)

    def _moment(self, at: int, time_ms: int) -> int:
        """The moment of the record *at*, made at *time_ms*: its own where nothing is coalesced."""
        if not self._moment_ms:
            return at
        return clamp(time_ms, self._records[at].timestamp) // self._moment_ms

    def _end_runs(self, event: MailboxEvent, account: _Account) -> None:
        """A delete ends its item's run; all else that is no plain put ends every run of the
        account.
        """
        if event.account is None:
            self._accounts.clear()
        elif type(event) is Delete and event.after is None:
            account.puts.pop(event.item, None)
        else:
            account.puts.clear()

    def coalesced(self, foreign: str | None) -> Coalesced:
        """What was read; a run stands where its first record did."""
        rows = self._rows
        taken = len(rows)
        newest = next((row.published_ms for row in reversed(rows) if row is not None), 0)
        for last, run in self._runs.items():
            row = rows[last]
            assert row is not None
            rows[run.first] = msgspec.structs.replace(row, earlier=tuple(run.earlier))
        for at in self._joined:
            rows[at] = None
        kept = [row for row in rows if row is not None]
        return Coalesced(Records(kept, self._quarantined), taken, foreign, newest)


def _continues(before: Put, after: Put) -> bool:
    """The run rule (domain/run.py) on events of one item and one moment."""
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
