"""The run rule: the write path and the fold have to mean the same by it."""

from __future__ import annotations

from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streambackup.domain.digest import digest_of
from streambackup.domain.entry import Member
from streambackup.domain.moment import AHEAD_MAX_MS, clamp
from streambackup.domain.run import change_falls, continues, same_moment
from streambackup.events.mailbox import MailboxEvent
from streambackup.journal.line import Line, entry_of
from streambackup.testing.epochs import batches, coalesced
from streambackup.testing.events import TIME_MS, PartitionLog, delete, id_of, put


def member(time_ms: int, published_ms: int = TIME_MS) -> Member:
    return Member(id_of(1), time_ms, None, 0, published_ms, 0)


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [(0, 99, True), (99, 100, False), (100, 199, True), (50, 150, False)],
)
def test_moments_are_aligned_to_the_epoch(first: int, second: int, together: bool) -> None:
    start = 1_700_000_000_000

    assert same_moment(member(start + first), member(start + second), 100) is together


def test_without_moments_nothing_runs_on() -> None:
    assert not same_moment(member(5), member(5), 0)


def test_a_time_counts_up_to_five_minutes_ahead() -> None:
    limit = TIME_MS + AHEAD_MAX_MS

    assert (clamp(limit, TIME_MS), clamp(limit + 1, TIME_MS)) == (limit, TIME_MS)


@pytest.mark.parametrize(
    ("earlier", "later", "falls"),
    [
        (None, None, False),
        (1, 1, False),
        (1, 2, False),
        (2, 1, True),
        (None, 1, True),
        (1, None, True),
    ],
)
def test_a_change_number_must_not_fall_nor_come_and_go(
    earlier: int | None, later: int | None, falls: bool
) -> None:
    assert change_falls(earlier, later) is falls


def one_of_each() -> list[MailboxEvent]:
    """Events of one item that differ in everything that the rule looks at."""
    digests = (None, digest_of(b"a"))
    puts = [
        put("m", sequence, source=source, time_ms=TIME_MS + time_ms, change=change, digest=digest)
        for sequence, source, time_ms, change, digest in product(
            (1, 2), ("s", "t"), (0, 100), (None, 1, 2), digests
        )
    ]
    return [*puts, delete("m", 1), put("m", 2, after="never-seen")]


@given(st.lists(st.sampled_from(one_of_each()), min_size=2, max_size=6))
def test_batches_join_what_the_fold_would(events: list[MailboxEvent]) -> None:
    """Lines of one batch are the runs of its raw neighbours, and no two of an item's lines join."""
    log = PartitionLog()
    for event in events:
        log.add(event, published_ms=TIME_MS)
    apart = [entry_of(line) for line in lines(log, cuts=range(len(events)))]
    expected: list[list[int]] = []
    for at, entry in enumerate(apart):
        joins = at > 0 and continues(
            apart[at - 1], apart[at - 1].members[-1], entry, entry.members[0], 100
        )
        if joins:
            expected[-1].append(entry.offset)
        else:
            expected.append([entry.offset])
    together = lines(log)

    assert [line.offsets() for line in together] == expected
    for a, b in pairwise(entry_of(line) for line in together):
        assert not continues(a, a.members[-1], b, b.members[0], 100)


def lines(log: PartitionLog, cuts: range = range(0)) -> list[Line]:
    found = (
        element for batch in batches(log.records, set(cuts)) for element in coalesced(batch, 100)
    )
    return [element for element in found if isinstance(element, Line)]
