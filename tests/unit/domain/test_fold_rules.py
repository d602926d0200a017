"""Rules of the fold that no trace names: conditions, many-item transactions, what is shown."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest

from streambackup.domain.entry import ItemType
from streambackup.domain.fold import fold
from streambackup.domain.history import AccountHistory, canonical
from streambackup.domain.transaction import Position
from streambackup.errors import NotFoundError
from streambackup.events.mailbox import MailboxEvent, Put
from streambackup.testing.epochs import (
    epoch_name,
    fold_records,
    gap_segment,
    segment,
    stream_of,
)
from streambackup.testing.events import (
    ACCOUNT,
    GENERATION,
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


def history(*events: MailboxEvent, ignored: tuple[str, ...] = ()) -> AccountHistory:
    return fold_records(PartitionLog(events).records, ignored_attributes=ignored)


def message(item: str, number: int, folder: str = "f", **words: Any) -> Put:
    return put(item, number, time_ms=TIME_MS + 1_000 * number, folder=folder, **words)


def folder(item: str, number: int, parent: str | None = None) -> Put:
    time_ms = TIME_MS + 1_000 * number
    return put(item, number, time_ms=time_ms, type=ItemType.FOLDER, name=item, parent=parent)


def live(found: AccountHistory) -> list[str]:
    return sorted(item.item for item, _ in found.live())


def states(found: AccountHistory, item: str) -> list[tuple[list[int], str]]:
    """Sequences of each state, and what it is."""
    return [
        (
            [id.sequence for id in state.transactions],
            "late" if state.late else "deleted" if state.deleted else "live",
        )
        for state in found.items[item].states
    ]


def test_never_seen_is_an_item_without_history() -> None:
    first = put("m", 2, after="never-seen", folder="f")
    failed = put("m", 1, after=id_of(9), folder="f")

    assert live(history(first)) == ["m"]
    assert live(history(failed, first)) == ["m"]
    assert states(history(delete("m", 1), first), "m") == [([1], "deleted")]
    assert states(history(message("m", 1), first), "m") == [([1], "live")]


def test_a_condition_names_the_last_transaction_deletes_included() -> None:
    found = history(
        message("m", 1), delete("m", 2), put("m", 3, after=id_of(2)), delete("m", 4, after=id_of(3))
    )

    assert states(found, "m") == [([1], "live"), ([2], "deleted"), ([3], "live"), ([4], "deleted")]


def test_what_comes_below_a_failed_condition_is_late() -> None:
    """It is folded, though it has no effect: its number counts."""
    found = history(put("m", 5, after=id_of(9), folder="f"), message("m", 3))

    assert states(found, "m") == [([3], "late")]
    assert any("came after later transactions" in doubt.reason for doubt in found.doubts)


def mailbox() -> list[MailboxEvent]:
    """A folder tree: a with b in it and c in that, a message in each, and one outside."""
    return [
        folder("a", 1),
        folder("b", 2, "a"),
        folder("c", 3, "b"),
        message("in-a", 4, "a"),
        message("in-b", 5, "b"),
        message("in-c", 6, "c"),
        message("outside", 7, "x"),
        put("task", 8, type=ItemType.TASK, title="t", folder="c"),
    ]


@pytest.mark.parametrize(
    ("event", "left"),
    [
        (empty_folder("a", 9), ["a", "b", "c", "in-b", "in-c", "outside", "task"]),
        (empty_folder("a", 9, recursive=True), ["a", "outside"]),
        (folder_delete("a", 9), ["outside"]),
        (folder_delete("c", 9), ["a", "b", "in-a", "in-b", "outside"]),
        (account_delete(9), []),
    ],
)
def test_how_far_a_many_item_transaction_reaches(event: MailboxEvent, left: list[str]) -> None:
    found = history(*mailbox(), event)

    assert live(found) == left
    assert [doubt.position for doubt in found.doubts] == [Position(GENERATION, 0, 8)]


def test_a_folder_inside_itself_ends() -> None:
    found = history(folder("a", 1, "b"), folder("b", 2, "a"), folder_delete("a", 3))

    assert live(found) == []


def test_what_was_moved_or_deleted_before_is_not_reached() -> None:
    found = history(
        message("m", 1), message("m", 2, "g"), message("n", 3), delete("n", 4), empty_folder("f", 5)
    )

    assert live(found) == ["m"]
    assert states(found, "n") == [([3], "live"), ([4], "deleted")]


def test_a_many_item_transaction_that_comes_late_takes_nothing_away() -> None:
    found = history(message("m", 5), folder_delete("f", 3), message("n", 4))

    assert live(found) == ["m", "n"]
    assert states(found, "m") == [([5], "live"), ([3], "late")]
    assert found.items["m"].after(id_of(3)) is not None


def test_an_accounts_delete_may_depend_on_the_account() -> None:
    own = put(ACCOUNT, 1, type=ItemType.ACCOUNT, address="a@b")
    holds = history(own, account_delete(2, after=id_of(1)))
    fails = history(own, account_delete(2, after=id_of(9)))
    unseen = history(message("m", 1), account_delete(2, after="never-seen"))

    assert (live(holds), live(fails), live(unseen)) == ([], [ACCOUNT], [])
    assert holds.doubts == fails.doubts == ()
    assert len(unseen.doubts) == 1


def test_a_deleted_state_keeps_what_the_item_was() -> None:
    kept = "d" * 43 + "="
    found = history(
        message("m", 1, digest=kept, flags=["seen"]), delete("m", 2, time_ms=TIME_MS + 9_000)
    )
    before, after = found.items["m"].states

    assert (before.end_ms, after.start_ms, after.end_ms) == (after.start_ms, TIME_MS + 9_000, None)
    assert (after.deleted, after.state, after.digest) == (True, before.state, kept)


def test_a_time_before_the_current_state_starts_with_it() -> None:
    found = history(message("m", 9), put("m", 10, time_ms=TIME_MS, n=2))
    before, after = found.items["m"].states

    assert before.start_ms == before.end_ms == after.start_ms == TIME_MS + 9_000
    assert found.items["m"].at(TIME_MS + 9_000) is after


def test_the_place_of_content_is_that_of_the_state_before_with_its_digest() -> None:
    place = Position(GENERATION, 3, 7)
    digest = "d" * 43 + "="
    first = msgspec.structs.replace(message("m", 1, digest=digest), content=place)
    found = history(
        first,
        message("m", 2, digest=digest, n=2),
        message("m", 3, digest="e" * 43 + "="),
        delete("m", 4),
    )

    assert [state.content for state in found.items["m"].states] == [place, place, None, None]


def test_ignored_attributes_alone_make_no_state() -> None:
    events = [message("m", n, flags=["seen"], last_login_ms=n) for n in (1, 2, 3)]
    found = history(*events, message("m", 4, flags=[], last_login_ms=4), ignored=("last_login_ms",))
    first, second = found.items["m"].states

    assert [id.sequence for id in first.transactions] == [1, 2, 3]
    assert (first.state, second.state) == (
        {"folder": "f", "flags": ["seen"]},
        {"folder": "f", "flags": []},
    )


def test_values_that_json_tells_apart_are_two_states() -> None:
    """They are equal in Python, and not in the contents of what was backed up."""
    values = [1, 1.0, True, 1, 0, 0.0, -0.0, False, [1], [True], {"x": 1}, {"x": True}]
    for number, (one, other) in enumerate(itertools.pairwise(values)):
        found = history(message("m", 1, n=one), message("m", 2, n=other)).items["m"].states

        assert [canonical(state.state["n"]) for state in found] == [
            canonical(one),
            canonical(other),
        ], number


def test_the_order_of_a_states_fields_makes_no_state() -> None:
    found = history(
        message("m", 1, a={"x": 1, "y": 2}, b=1), message("m", 2, b=1, a={"y": 2, "x": 1})
    )

    assert len(found.items["m"].states) == 1


def test_equal_neighbours_are_one_state_across_a_late_one() -> None:
    found = history(
        message("m", 1, n=1), message("m", 3, n=1), message("m", 2, n=2), message("m", 4, n=1)
    )

    assert states(found, "m") == [([1, 3, 4], "live"), ([2], "late")]


def test_a_late_state_has_no_length_and_is_never_current() -> None:
    found = history(message("m", 3), message("m", 2))
    late = found.items["m"].states[1]

    assert (late.late, late.start_ms) == (True, late.end_ms)
    assert found.items["m"].at(late.start_ms) is None
    assert found.items["m"].current is found.items["m"].states[0]


def test_a_gap_ends_runs_and_puts_the_account_in_doubt() -> None:
    log = PartitionLog([put("m", 1, n=1), put("x", 1, account="bert"), put("m", 2, n=2)])
    parts = [segment(log.records[:1]), segment(log.records[2:], epoch=epoch_name(2))]
    found = fold(ACCOUNT, stream_of([*parts, gap_segment(1, 2)]), moment_ms=100)

    assert states(found, "m") == [([1], "live"), ([2], "live")]
    assert [doubt.reason for doubt in found.doubts] == ["the stream has a gap: test"]


def test_up_to_a_transaction_later_doubts_do_not_count() -> None:
    events: list[MailboxEvent] = [message("m", 1), message("m", 4), marker(), message("m", 9)]
    found = fold_records(PartitionLog(events).records, until=id_of(1))

    assert states(found, "m") == [([1], "live")]
    assert found.doubts == ()
    with pytest.raises(NotFoundError) as caught:
        fold_records(PartitionLog(events).records, until=id_of(2))
    assert "'streambackup item history'" in (caught.value.hint or "")
