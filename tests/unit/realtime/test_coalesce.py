"""Coalescing: what one batch of records becomes."""

from __future__ import annotations

import msgspec
import pytest

from streambackup.domain.entry import ItemType
from streambackup.domain.partition_event import PartitionEvent
from streambackup.domain.transaction import Position
from streambackup.events.mailbox import MailboxEvent, MarkerKind, Put
from streambackup.journal.content_checksum import content_checksum
from streambackup.journal.line import Line
from streambackup.journal.payload import Records
from streambackup.journal.place import Place
from streambackup.realtime.coalesce import coalesce
from streambackup.testing.epochs import PLACE, coalesced
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


def batch(log: PartitionLog, *, derived: bool = False) -> list[Line | PartitionEvent]:
    where = Place(0, 1, GENERATION, derived=derived)
    return coalesced(log.records, MOMENT_MS, where)


def lines(*events: MailboxEvent) -> list[Line]:
    return [element for element in batch(PartitionLog(events)) if isinstance(element, Line)]


def offsets(*events: MailboxEvent) -> list[list[int]]:
    """The offsets of each line."""
    return [line.offsets() for line in lines(*events)]


def flags(number: int, *, account: str = "anna", time_ms: int = 0, item: str = "m") -> MailboxEvent:
    return put(item, number, account=account, time_ms=TIME_MS + time_ms, flags=number)


@pytest.mark.row("M2", part="filed")
@pytest.mark.row("F009", part="filed")
def test_ten_changes_in_a_moment_are_one_line_with_the_last_value() -> None:
    """Over several moments there is one line each."""
    (line,) = lines(*(flags(n) for n in range(1, 11)))
    apart = offsets(*(flags(n, time_ms=60 * n) for n in range(1, 11)))

    assert isinstance(line.event, Put)
    assert line.event.state == {"flags": 10}
    assert [member.id for member in line.earlier] == [id_of(n) for n in range(1, 10)]
    assert apart == [[0], [1, 2], [3], [4, 5], [6, 7], [8], [9]]


def test_a_line_stands_where_its_run_began() -> None:
    assert offsets(flags(1), flags(2, item="n"), flags(3), flags(4, item="n")) == [[0, 2], [1, 3]]


def test_a_member_keeps_what_the_fold_needs() -> None:
    first = put("m", 1, time_ms=TIME_MS + 7, change=4, flags=1)
    ((member,),) = [line.earlier for line in lines(first, put("m", 2, change=4))]

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
    joined = [line for line in offsets(*runs, between, *goes_on) if len(line) > 1]

    assert [line in joined for line in ([0, 4], [1, 5], [2, 6])] == [
        not of_item,
        not of_account,
        not of_others,
    ]


def test_a_record_of_another_generation_is_set_aside_but_in_a_life_without_a_name() -> None:
    """Its owner stops ahead of what may begin another life, so it was sent there by mistake."""
    stray = msgspec.structs.replace(flags(2), generation=STRAY)
    log = PartitionLog([flags(1), stray, flags(3)])
    line, aside = batch(log)
    (taken,) = batch(log, derived=True)

    assert isinstance(line, Line)
    assert line.offsets() == [0, 2]
    assert isinstance(aside, PartitionEvent)
    assert aside.reason == f"it was meant for generation {STRAY}, this is {GENERATION}"
    assert isinstance(taken, Line)
    assert taken.offsets() == [0, 1, 2]


def test_json_and_messagepack_are_the_same_transaction() -> None:
    log = PartitionLog()
    event = put("m", 1, flags=["seen"], size=1.5, folder="f", nested={"a": [None, True]})
    log.add(event, json=True)
    log.add(event)
    first, second = batch(log)

    assert isinstance(first, Line)
    assert isinstance(second, Line)
    assert first.event == second.event == event
    assert content_checksum(first.event) == content_checksum(event)


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

    assert [len(line.offsets()) for line in batch(log) if isinstance(line, Line)] == [3, 1]


def test_an_empty_batch_is_nothing() -> None:
    assert batch(PartitionLog()) == []


@pytest.mark.parametrize(
    "event",
    [
        put("anna", 1, type=ItemType.ACCOUNT),
        delete("anna", 1),
        account_delete(1),
        put("anna", 1, type=ItemType.ACCOUNT, after="never-seen"),
    ],
)
def test_whose_own_item_changed_is_told(event: MailboxEvent) -> None:
    """From its states ``account_info`` is made."""
    log = PartitionLog([event, flags(2, account="bert"), delete("m", 3, account="bert")])
    found = coalesce(Records.of(log.records), where=PLACE, moment_ms=MOMENT_MS)

    assert found.described == {"anna"}
