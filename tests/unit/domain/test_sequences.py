"""Holes in the numbers of an account's transactions."""

from __future__ import annotations

from streambackup.domain.sequences import Sequences
from streambackup.domain.transaction import Position
from streambackup.testing.events import GENERATION, id_of


def noted(*sequences: int, source: str = "s") -> Sequences:
    found = Sequences()
    for offset, sequence in enumerate(sequences):
        found.note(id_of(sequence, source=source), 1_000 + offset, Position(GENERATION, 0, offset))
    return found


def reasons(sequences: Sequences) -> list[str]:
    return [doubt.reason for doubt in sequences.doubts()]


def test_numbers_without_hole_leave_no_doubt() -> None:
    assert reasons(noted(1, 2, 2, 3)) == []


def test_a_hole_names_what_is_missing_and_where_it_showed() -> None:
    (doubt,) = noted(1, 4).doubts()

    assert doubt.reason == "2 of the transactions 2 to 3 of s:00000001 never came"
    assert doubt.position == Position(GENERATION, 0, 1)
    assert doubt.since_ms == 1_001


def test_a_source_counts_from_one() -> None:
    assert reasons(noted(3)) == ["2 of the transactions 1 to 2 of s:00000001 never came"]


def test_a_hole_that_was_filled_is_none() -> None:
    assert reasons(noted(1, 4, 3, 2)) == []
    assert reasons(noted(1, 4, 3)) == ["1 of the transactions 2 to 3 of s:00000001 never came"]


def test_each_incarnation_counts_for_itself() -> None:
    found = noted(1, 2)
    found.note(id_of(2, incarnation="ffffffff"), 0, Position(GENERATION, 0, 9))

    assert reasons(found) == ["1 of the transactions 1 to 1 of test:ffffffff never came"]


def test_what_was_forgiven_stays_so() -> None:
    found = noted(1, 4)
    found.forgive()
    found.note(id_of(7, source="s"), 0, Position(GENERATION, 0, 9))

    assert reasons(found) == ["2 of the transactions 5 to 6 of s:00000001 never came"]
