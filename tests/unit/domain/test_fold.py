"""The fold up to a transaction, over more than one generation."""

from __future__ import annotations

from streambackup.domain.entry import Entry, ItemType, Member, Operation
from streambackup.domain.fold import fold
from streambackup.domain.transaction import TransactionId


def entry(generation: str, offset: int, sequence: int, *, item: str = "m") -> Entry:
    time_ms = 10_000 * sequence
    member = Member(TransactionId("s", "0" * 8, sequence), time_ms, None, offset, time_ms, sequence)
    return Entry(
        generation=generation,
        partition=0,
        account="anna",
        operation=Operation.PUT,
        members=(member,),
        item=item,
        type=ItemType.MESSAGE,
        state={"n": sequence},
    )


def test_the_account_after_a_transaction_has_nothing_of_later_generations() -> None:
    """Offsets begin again in each generation, so they alone do not say what came later."""
    stream = [
        entry("a", 7, 1, item="n"),
        entry("b", 0, 2),
        entry("b", 1, 3),
        entry("c", 0, 4),
        entry("c", 1, 5, item="o"),
    ]
    history = fold("anna", stream, moment_ms=100, until=TransactionId("s", "0" * 8, 2))

    assert sorted(history.items) == ["m", "n"]
    assert [(state.state, state.end_ms) for state in history.items["m"].states] == [
        ({"n": 2}, None)
    ]
