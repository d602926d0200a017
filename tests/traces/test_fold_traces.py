"""Each trace that breaks a weaker rule of runs or of the fold, under every split into batches."""

from __future__ import annotations

from streambackup.domain.finding import FindingClass
from streambackup.events.mailbox import MarkerKind, Put
from streambackup.testing.events import (
    TIME_MS,
    PartitionLog,
    delete,
    empty_folder,
    folder_delete,
    id_of,
    marker,
    put,
)
from tests.traces.folding import Told, fold_every_split, tell, told


def m(sequence: int, time_ms: int = 0, change: int | None = None, flags: str | None = None) -> Put:
    """One item, one digest; its flags tell the transaction."""
    return put(
        "m",
        sequence,
        time_ms=TIME_MS + time_ms,
        change=change,
        flags=flags or f"t{sequence}",
        folder="f",
    )


def test_a_transaction_sent_again_does_not_go_back_in_time() -> None:
    """A run whose sequence need not rise gives {t1, t2} the state of t1."""
    log = PartitionLog([m(1), m(2), m(1)])

    assert told(log) == [Told((1, 2), "t2")]


def test_a_falling_change_number_ends_the_run() -> None:
    """Coalesced over a falling change number, t2 is late or not by where the batch ended."""
    log = PartitionLog([m(1, change=12), m(2, change=10)])

    assert told(log) == [Told((1,), "t1"), Told((2,), "t2", note="late")]


def test_a_run_with_a_change_number_does_not_join_one_without() -> None:
    """Joined, the number of the run would be that of its last member, or none, by the split."""
    log = PartitionLog([m(1, change=12), m(2), m(3, change=10)])

    assert told(log) == [
        Told((1,), "t1"),
        Told((2,), "t2"),
        Told((3,), "t3", note="late"),
    ]


def test_a_marker_ends_the_run() -> None:
    """In one entry with t1, the state at the marker would hold t2."""
    of_account = PartitionLog([m(1), marker(), m(2)])
    of_partition = PartitionLog([m(1), marker(account=None), m(2)])
    of_another = PartitionLog([m(1), marker(account="bert"), m(2)])

    assert told(of_account) == told(of_partition) == [Told((1,), "t1"), Told((2,), "t2")]
    assert told(of_another) == [Told((1, 2), "t2")]


def test_a_run_starts_at_its_first_remaining_members_time() -> None:
    """With one time per entry, t3 starts at t1's time where all three were sent again at once."""
    log = PartitionLog(
        [m(1, 0), m(2, 10), put("m", 1, source="web", time_ms=TIME_MS + 20, flags="w1"),
         m(1, 0), m(2, 10), m(3, 90)]
    )  # fmt: skip

    assert told(log) == [Told((1, 2), "t2"), Told((1,), "w1", 20), Told((3,), "t3", 90)]


def test_a_late_transaction_is_judged_with_those_it_runs_on_to() -> None:
    """Judged before merging, t2 is late in one split, and current with t4 in another."""
    log = PartitionLog([m(1), m(3), m(2), m(4)])

    assert told(log) == [Told((1, 3), "t3"), Told((2, 4), "t4")]


def test_a_dropped_duplicate_does_not_end_a_run() -> None:
    """Where it does, {t1, t2, t3} is one state or two, by whether t1 came again within a batch."""
    log = PartitionLog([m(1), m(2), m(1), m(3)])

    assert told(log) == [Told((1, 2, 3), "t3")]


def test_a_duplicate_ahead_of_something_new_changes_nothing() -> None:
    """Dropped after a judgement by the last member, t2 sent again makes a state of its own."""
    log = PartitionLog([m(1), m(2), m(3), m(2), m(3), m(4)])

    assert told(log) == [Told((1, 2, 3, 4), "t4")]


def test_a_late_member_has_the_state_of_its_chain_under_every_split() -> None:
    """Dropping before joining raw neighbours gives t2 its own state, or that of t3 sent again."""
    log = PartitionLog([m(1), m(3), m(2), m(3)])

    assert told(log) == [Told((1, 3), "t3"), Told((2,), "t3", note="late")]


def test_a_hole_filled_later_depends_on_no_split() -> None:
    """4, 1, 3, 2, 3', 4': lateness per entry gives what the batches were; it is per member."""
    log = PartitionLog([m(4), m(1), m(3), m(2), m(3), m(4)])
    history = fold_every_split(log)

    assert tell(history) == [
        Told((4,), "t4"),
        Told((1, 3), "t3", note="late"),
        Told((2,), "t4", note="late"),
    ]
    assert sorted(d.position.offset for d in history.doubts if d.position) == [1, 2, 3]


def test_a_transaction_below_another_items_is_not_late() -> None:
    """Lateness per account breaks: a run's entry stands at its first member's place."""
    other = put("n", 2, flags="n2", folder="f")
    log = PartitionLog([m(1), other, m(3), put("n", 4, flags="n4", folder="f")])
    history = fold_every_split(log)

    assert (tell(history, "m"), tell(history, "n")) == (
        [Told((1, 3), "t3")],
        [Told((2, 4), "n4")],
    )
    assert history.doubts == ()


def test_an_id_that_comes_with_other_content_inside_a_run_is_kept() -> None:
    """One checksum per entry cannot tell t1 with other content from t1 sent again."""
    log = PartitionLog([m(1), m(2), m(1, flags="other"), m(2)])
    history = fold_every_split(log)

    assert tell(history) == [
        Told((1, 2), "t2"),
        Told((1,), "t2", note="late"),
    ]
    (finding,) = history.findings
    assert finding.finding is FindingClass.CONFLICTING_TRANSACTION
    assert str(id_of(1)) in finding.what


def test_a_condition_looks_at_the_last_of_the_run() -> None:
    """Naming t1 of the run {t1, t2} holds where a batch ended between them, if runs may differ."""
    fails = put("m", 3, after=id_of(1), flags="c", folder="f")
    holds = put("m", 4, after=id_of(2), flags="d", folder="f")

    assert told(PartitionLog([m(1), m(2), fails])) == [Told((1, 2), "t2")]
    assert told(PartitionLog([m(1), m(2), holds])) == [Told((1, 2), "t2"), Told((4,), "d")]


def test_a_condition_that_failed_does_nothing_when_sent_again() -> None:
    """Not folded, the same transaction fails first and holds when it comes a second time."""
    fails = put("m", 2, after=id_of(3), flags="c", folder="f")
    log = PartitionLog([m(1), fails, m(3), fails])

    assert told(log) == [Told((1,), "t1"), Told((3,), "t3")]


def test_a_condition_ends_every_run_of_the_account() -> None:
    """Where it ends its own item's only, what holds of the others at it is not what was read."""
    of_another = put("n", 2, after="never-seen", flags="n", folder="f")
    log = PartitionLog([m(1), of_another, m(3)])

    assert told(log) == [Told((1,), "t1"), Told((3,), "t3")]


def test_a_delete_ends_the_run_of_its_item_only() -> None:
    """Everything plain but a put stands alone; what belongs to other items does not matter."""
    log = PartitionLog([m(1), delete("n", 2), m(3), delete("m", 4), m(5)])

    assert told(log) == [
        Told((1, 3), "t3"),
        Told((4,), "t3", note="deleted"),
        Told((5,), "t5"),
    ]


def test_an_emptied_folder_takes_what_is_in_it_there() -> None:
    """Expanded anywhere but at its place, it takes what came later, or misses what had moved."""
    moved = put("n", 2, flags="n2", folder="g")
    log = PartitionLog([m(1), moved, empty_folder("f", 3), put("x", 4, folder="f", flags="x4")])
    history = fold_every_split(log)

    assert tell(history, "m") == [Told((1,), "t1"), Told((3,), "t1", note="deleted")]
    assert tell(history, "n") == [Told((2,), "n2")]
    assert tell(history, "x") == [Told((4,), "x4")]
    assert [d.position.offset for d in history.doubts if d.position] == [2]


def test_a_delete_of_an_empty_folder_leaves_no_doubt() -> None:
    """Every folder delete in doubt would ask for a scan each time somebody tidies up."""
    log = PartitionLog([m(1), delete("m", 2), folder_delete("f", 3)])
    history = fold_every_split(log)

    assert tell(history, "f") == [Told((3,), None, note="deleted")]
    assert history.doubts == ()


def test_a_finished_scan_settles_what_was_in_doubt() -> None:
    """A doubt that is stored, or never ends, is not a function of the stream up to here."""
    log = PartitionLog([m(4), m(2), marker(MarkerKind.SCAN_DONE), m(7)])
    before = fold_every_split(PartitionLog([m(4), m(2)]))
    history = fold_every_split(log)

    assert len(before.doubts) == 2
    assert [doubt.reason for doubt in history.doubts] == [
        "2 of the transactions 5 to 6 of test:00000001 never came"
    ]


def test_runs_depend_on_no_clock_far_ahead() -> None:
    """Unclamped, a moment years ahead joins nothing, and every later state starts behind it."""
    ahead = 3_600_000
    log = PartitionLog()
    log.add(m(1, ahead), published_ms=TIME_MS + 40)
    log.add(m(2, ahead + 500), published_ms=TIME_MS + 60)
    log.add(m(3, 150), published_ms=TIME_MS + 160)
    history = fold_every_split(log)

    assert tell(history) == [Told((1, 2), "t2", 40), Told((3,), "t3", 150)]
    assert [finding.finding for finding in history.findings] == [FindingClass.TIME_AHEAD] * 2


def test_the_account_after_a_transaction_depends_on_no_split() -> None:
    """Folding up to the entry that has it misses what stands between that entry's members."""
    log = PartitionLog([m(1), put("n", 2, flags="n2", folder="f"), m(3), m(4, 500)])

    history = fold_every_split(log, until=id_of(3))

    assert tell(history, "m") == [Told((1, 3), "t3")]
    assert tell(history, "n") == [Told((2,), "n2")]
