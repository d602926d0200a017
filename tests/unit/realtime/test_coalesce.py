"""Coalescing: what one batch of records becomes."""

from __future__ import annotations

import msgspec
import pytest

from streambackup.domain.transaction import Position
from streambackup.events.mailbox import MailboxEvent, MarkerKind
from streambackup.journal.content_checksum import content_checksum
from streambackup.realtime.coalesce import Coalesced, coalesce
from streambackup.realtime.place import Place
from streambackup.testing.events import (
    GENERATION,
    MOMENT_MS,
    TIME_MS,
    PartitionLog,
    account_delete,
    delete,
    empty_folder,
    folder_delete,
    id_of,
    marker,
    put,
)

OTHER = "00000000000000bb"
STRAY = "00000000000000cc"


def batch(*events: MailboxEvent, place: Place | None = None) -> Coalesced:
    place = place or Place(0, 1, GENERATION)
    return coalesce(PartitionLog(events).records, place=place, moment_ms=MOMENT_MS)


def rows(*events: MailboxEvent) -> list[list[int]]:
    """The offsets of each row."""
    return [
        [*(member.offset for member in row.earlier), row.offset]
        for row in batch(*events).records.rows
    ]


def flags(number: int, *, account: str = "anna", time_ms: int = 0, item: str = "m") -> MailboxEvent:
    return put(item, number, account=account, time_ms=TIME_MS + time_ms, flags=number)


@pytest.mark.row("M2", part="journalled")
@pytest.mark.row("F009", part="journalled")
def test_ten_changes_in_a_moment_are_one_row_with_the_last_value() -> None:
    """Over several moments there is one row each."""
    (row,) = batch(*(flags(n) for n in range(1, 11))).records.rows
    state = msgspec.msgpack.decode(row.value)["state"]
    apart = rows(*(flags(n, time_ms=60 * n) for n in range(1, 11)))

    assert state == {"flags": 10}
    assert [member.id for member in row.earlier] == [id_of(n) for n in range(1, 10)]
    assert apart == [[0], [1, 2], [3], [4, 5], [6, 7], [8], [9]]


def test_a_row_stands_where_its_run_began() -> None:
    assert rows(flags(1), flags(2, item="n"), flags(3), flags(4, item="n")) == [[0, 2], [1, 3]]


def test_a_member_keeps_what_the_fold_needs() -> None:
    first = put("m", 1, time_ms=TIME_MS + 7, change=4, flags=1)
    ((member,),) = [row.earlier for row in batch(first, put("m", 2, change=4)).records.rows]

    assert (member.id, member.time_ms, member.change) == (id_of(1), TIME_MS + 7, 4)
    assert (member.offset, member.published_ms) == (0, TIME_MS + 7)
    assert member.checksum == content_checksum(first)


@pytest.mark.parametrize(
    ("between", "of_item", "of_account", "of_others"),
    [
        (delete("m", 9), True, False, False),
        (put("n", 9, after="never-seen"), True, True, False),
        (empty_folder("f", 9), True, True, False),
        (folder_delete("f", 9), True, True, False),
        (account_delete(9), True, True, False),
        (marker(), True, True, False),
        (marker(MarkerKind.SWITCH, account=None), True, True, True),
    ],
    ids=lambda value: type(value).__name__.lower(),
)
def test_what_ends_which_runs(
    between: MailboxEvent, of_item: bool, of_account: bool, of_others: bool
) -> None:
    """A delete ends its item's; all that concerns many, or depends on any, all of the account."""
    runs = (flags(1), flags(2, item="x"), flags(1, account="bert"))
    goes_on = (flags(3), flags(4, item="x"), flags(2, account="bert"))
    joined = [row for row in rows(*runs, between, *goes_on) if len(row) > 1]

    assert [row in joined for row in ([0, 4], [1, 5], [2, 6])] == [
        not of_item,
        not of_account,
        not of_others,
    ]


def test_it_stops_ahead_of_another_generation() -> None:
    found = batch(
        flags(1),
        msgspec.structs.replace(flags(2), generation=GENERATION),
        msgspec.structs.replace(flags(3), generation=OTHER),
        flags(4),
    )

    assert (found.taken, found.foreign) == (2, OTHER)
    assert len(found.records.rows) == 1


def test_a_stray_is_set_aside_and_a_life_without_a_name_takes_any() -> None:
    stray = msgspec.structs.replace(flags(2), generation=STRAY)
    aside = batch(flags(1), stray, flags(3), place=Place(0, 1, GENERATION, frozenset({STRAY})))
    taken = batch(flags(1), stray, flags(3), place=Place(0, 1))

    assert (aside.taken, aside.foreign) == (3, None)
    assert [record.offset for record in aside.records.quarantined] == [1]
    assert len(aside.records.rows) == 1
    assert (taken.taken, taken.records.quarantined) == (3, [])


def test_json_and_messagepack_are_the_same_transaction() -> None:
    log = PartitionLog()
    event = put("m", 1, flags=["seen"], size=1.5, folder="f", nested={"a": [None, True]})
    log.add(event, json=True)
    log.add(event)
    first, second = coalesce(
        log.records, place=Place(0, 1, GENERATION), moment_ms=MOMENT_MS
    ).records.rows

    assert first.value[:1] == b"{"
    assert second.value[:1] != b"{"
    assert content_checksum(event) == content_checksum(
        msgspec.json.decode(first.value, type=type(event))
    )


def test_the_checksum_covers_what_is_said_and_not_its_place() -> None:
    event = put("m", 1, change=1, digest="d" * 43 + "=", folder="f")
    resent = msgspec.structs.replace(
        event, generation=OTHER, content=Position(GENERATION, 0, 7), sequence=2
    )
    others = [
        msgspec.structs.replace(event, **changed)
        for changed in (
            {"item": "n"},
            {"time_ms": TIME_MS + 1},
            {"change": 2},
            {"after": "never-seen"},
            {"digest": None},
            {"size": 11},
            {"state": {"folder": "g"}},
        )
    ]

    assert content_checksum(resent) == content_checksum(event)
    assert content_checksum(event) not in {content_checksum(other) for other in others}
    assert content_checksum(delete("m", 1)) != content_checksum(empty_folder("m", 1))
    assert content_checksum(empty_folder("m", 1)) != content_checksum(
        empty_folder("m", 1, recursive=True)
    )


def test_times_far_ahead_count_as_the_publish_time() -> None:
    """Moments of a clock that is years ahead would join, or part, what was published together."""
    ahead = 10**10
    log = PartitionLog()
    for number, time_ms in enumerate((ahead, ahead + 5_000, 0), 1):
        log.add(flags(number, time_ms=time_ms), published_ms=TIME_MS)
    log.add(flags(4, time_ms=ahead), published_ms=TIME_MS + 1_000)
    found = coalesce(log.records, place=Place(0, 1, GENERATION), moment_ms=MOMENT_MS)

    assert [len(row.earlier) for row in found.records.rows] == [2, 0]


def test_an_empty_batch_is_nothing() -> None:
    found = batch()

    assert (found.taken, found.records.rows, found.foreign) == (0, [], None)


def test_the_last_transactions_time_is_told_joined_or_not() -> None:
    log = PartitionLog()
    for number in (1, 2):
        log.add(flags(number), published_ms=TIME_MS + number)
    log.add_raw(None, b"", TIME_MS + 99)
    found = coalesce(log.records, place=Place(0, 1, GENERATION), moment_ms=MOMENT_MS)

    assert found.last_transaction_ms == TIME_MS + 2
