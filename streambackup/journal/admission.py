"""Admission: which of the records in a journal are events, and why the others are not.

Owners journal records as they come; what they say is found out when they are filed or read. As
that is a function of the records alone, whoever asks gets the same answer.
"""

from __future__ import annotations

from typing import NamedTuple

from streambackup.domain.partition_event import PartitionEvent, PartitionEventKind
from streambackup.domain.transaction import Position
from streambackup.errors import InvalidEventError
from streambackup.events.codec import decode_mailbox_event, encoded_stamp, stamp_of
from streambackup.events.mailbox import MailboxEvent
from streambackup.journal.payload import Records
from streambackup.journal.place import Place


class Admission:
    """Decides of the records of one partition."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._accounts: dict[bytes | None, str] = {}

    def event_of(self, key: bytes | None, value: bytes | None) -> MailboxEvent:
        """The event in a record.

        Raises:
            InvalidEventError: there is none that can be used, and why: it goes into quarantine.
        """
        event = decode_mailbox_event(value)
        if event.generation != self.place.generation:
            self.place.check_stamp(event.generation)
        name = event.account
        if name is not None and self._accounts.get(key) != name:
            self._admit(key, name)
        return event

    def _admit(self, key: bytes | None, name: str) -> None:
        """The key decides the partition, so it has to name the account, and to belong here."""
        if key is None or name.encode() != key:
            raise InvalidEventError("the record's key is not the event's account")
        self.place.check(key, "account")
        self._accounts[key] = name

    def set_aside(
        self, offset: int, published_ms: int, key: bytes | None, value: bytes | None, reason: str
    ) -> PartitionEvent:
        """A record that is no event, as readers and the partition log know it."""
        return PartitionEvent(
            kind=PartitionEventKind.QUARANTINE,
            position=Position(self.place.generation, self.place.partition, offset),
            end=offset + 1,
            time_ms=published_ms,
            reason=reason,
            account=None if key is None else key.decode("utf-8", "replace"),
            key=key,
            value=value,
        )


class Foreign(NamedTuple):
    """A record that may be of another life of the topic: the how manieth of a batch, its stamp."""

    at: int
    stamped: str


def first_foreign(records: Records, place: Place) -> Foreign | None:
    """The first of *records* that is.

    Most bear the stamp of this one, which is looked for in their bytes: of all together, and where
    there are not as many as records, of each. Only one that it is missing from is decoded. One
    that bears it elsewhere is taken in, and set aside when it is read.
    """
    stamp = encoded_stamp(place.generation)
    if b"".join(filter(None, records.values)).count(stamp) == len(records.values):
        return None
    for at, value in enumerate(records.values):
        if value is None or stamp in value:
            continue
        stamped = stamp_of(value)
        if stamped is not None and stamped not in place.strays and place.is_foreign(stamped):
            return Foreign(at, stamped)
    return None
