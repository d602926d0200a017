"""A record in quarantine leaves its account in doubt until its transaction has come otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from streambackup.events.mailbox import MarkerKind
from streambackup.reading.store_reader import StoreReader
from streambackup.testing.events import ACCOUNT, TIME_MS, id_of, marker, put
from streambackup.testing.partition_store import PartitionStore
from tests.support.aside import JUNK, aged_store, go_on, values

FIRST = put("m1", 1, folder="f")
ASIDE = put("m2", 2, folder="f", time_ms=TIME_MS + 1_000)
THIRD = put("m3", 3, folder="f", time_ms=TIME_MS + 2_000)


def reasons(store: PartitionStore, *, among_others: bool = False) -> list[str]:
    """The account's doubts, as one finds them who asks for it alone, or *among_others*."""
    reader = StoreReader(store.root)
    if among_others:
        reader.examine("bert")
    return [doubt.reason for doubt in reader.examine(ACCOUNT).doubts]


@pytest.mark.parametrize("among_others", [False, True])
def test_a_transaction_that_comes_again_settles_its_record_and_its_hole(
    tmp_path: Path, among_others: bool
) -> None:
    store, log = aged_store(tmp_path, [FIRST], values(ASIDE), [THIRD])
    before = reasons(store, among_others=among_others)
    go_on(store, log, ASIDE)

    assert ["quarantine" in reason for reason in before] == [True, False]
    assert "never came" in before[1]
    assert reasons(store, among_others=among_others) == []
    assert sorted(store.reader().examine(ACCOUNT).items) == ["m1", "m2", "m3"]


def test_coming_twice_changes_nothing_more(tmp_path: Path) -> None:
    store, log = aged_store(tmp_path, [FIRST], values(ASIDE), [THIRD])
    go_on(store, log, ASIDE)
    once = store.reader().examine(ACCOUNT)
    go_on(store, log, ASIDE)

    assert store.reader().examine(ACCOUNT) == once


def test_a_record_whose_transaction_came_before_leaves_no_doubt(tmp_path: Path) -> None:
    store, _ = aged_store(tmp_path, [FIRST, ASIDE], values(ASIDE), [THIRD])

    assert reasons(store) == []


def test_one_that_its_item_has_overtaken_is_late_and_leaves_no_doubt(tmp_path: Path) -> None:
    """Its place in the stream is known: it is not as if its source had lost the order."""
    aside = put("m1", 2, folder="old", time_ms=TIME_MS + 1_000)
    newer = put("m1", 3, folder="new", time_ms=TIME_MS + 2_000)
    store, log = aged_store(tmp_path, [FIRST], values(aside), [newer])
    go_on(store, log, aside)
    states = store.reader().examine(ACCOUNT).items["m1"].states

    assert reasons(store) == []
    assert [(state.state["folder"], state.late) for state in states] == [
        ("f", False),
        ("new", False),
        ("old", True),
    ]


def test_as_of_a_transaction_before_it_came_again_the_doubt_is_there(tmp_path: Path) -> None:
    store, log = aged_store(tmp_path, [FIRST], values(ASIDE), [THIRD])
    go_on(store, log, marker(MarkerKind.SCAN_BEGIN), ASIDE)
    then = store.reader().examine(ACCOUNT, until=id_of(3))

    assert any("quarantine" in doubt.reason for doubt in then.doubts)
    assert reasons(store) == []


def test_what_no_release_can_read_stays_in_doubt(tmp_path: Path) -> None:
    store, log = aged_store(tmp_path, [FIRST], [JUNK], [put("m2", 2, folder="f")])
    go_on(store, log, put("m3", 3, folder="f"))

    assert [reason.partition(":")[0] for reason in reasons(store)] == ["a record is in quarantine"]


def test_two_records_of_one_transaction_are_settled_together(tmp_path: Path) -> None:
    store, log = aged_store(tmp_path, [FIRST], values(ASIDE, ASIDE), [THIRD])
    before = reasons(store)
    go_on(store, log, ASIDE)

    assert sum("quarantine" in reason for reason in before) == 2
    assert reasons(store) == []
