"""Records that their producer placed by a rule of its own are set aside, not half lost."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from streambackup.bus.port import partition_of
from streambackup.domain.partition_event import PartitionEvent
from streambackup.errors import InvalidEventError
from streambackup.events.codec import encode_event
from streambackup.events.mailbox import Delete
from streambackup.journal.line import Line
from streambackup.journal.place import Place
from streambackup.testing.epochs import coalesced

PARTITIONS = 64


class Published(NamedTuple):
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int = 0


def published(account: str, *, key: str | None = None) -> Published:
    event = Delete(
        schema=1,
        account=account,
        source="acme",
        incarnation="00c0ffee",
        sequence=1,
        time_ms=0,
        item="1",
    )
    return Published(0, (key or account).encode(), encode_event(event))


def read(record: Published, partition: int) -> list[Line | PartitionEvent]:
    return coalesced([record], 100, Place(partition, PARTITIONS, "0" * 16))


def test_a_record_in_its_accounts_partition_is_taken() -> None:
    (line,) = read(published("ann@example.org"), 12)

    assert partition_of(b"ann@example.org", PARTITIONS) == 12
    assert isinstance(line, Line)


def test_a_record_in_another_partition_goes_to_the_quarantine() -> None:
    (aside,) = read(published("ann@example.org"), 13)

    assert isinstance(aside, PartitionEvent)
    assert aside.reason == (
        "partition 13 is not the account's, which is 12: "
        "the producer does not place keys by murmur2"
    )


def test_a_record_under_anothers_key_goes_to_the_quarantine() -> None:
    (aside,) = read(published("bob", key="ann@example.org"), 12)

    assert isinstance(aside, PartitionEvent)
    assert aside.reason == "the record's key is not the event's account"


def test_a_digest_belongs_into_its_partition_too() -> None:
    with pytest.raises(InvalidEventError, match="not the digest's, which is 25"):
        Place(3, PARTITIONS, "0" * 16).check(
            b"0m,PckA8SwzADvfyCeQRXdoi1Jb7OHyl2YRqB6e8G2A=", "digest"
        )
