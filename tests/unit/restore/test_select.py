"""Selection: which items, in which state, in which folder."""

from __future__ import annotations

import pytest

from streambackup.domain.transaction import TransactionId
from streambackup.errors import NotFoundError, UsageError
from streambackup.restore.select import (
    AsOf,
    DeletedBetween,
    OneFolder,
    OneItem,
    Scope,
    Selection,
    WholeAccount,
    select,
)
from streambackup.testing.memory_store import MemoryStore

NOW = AsOf()


def at(instant_ms: int) -> AsOf:
    return AsOf(instant_ms=instant_ms)


def chosen(store: MemoryStore, scope: Scope, as_of: AsOf = NOW) -> Selection:
    return select(store.history("anna", until=as_of.transaction), scope, as_of)


def subjects(selection: Selection) -> dict[str, object]:
    """Of each item picked, where it goes and the subject or name it gets."""
    return {
        f"{picked.folder}:{picked.item}": picked.state
        and picked.state.state.get("subject", picked.state.state.get("name"))
        for picked in selection.picked
    }


@pytest.fixture
def store() -> MemoryStore:
    """A mailbox with an inbox, Work and Work/2026, and a message whose life is eventful."""
    store = MemoryStore()
    store.put("anna", "anna", "account", {"address": "anna@example.org"}, time_ms=100)
    store.put("anna", "in", "folder", {"name": "INBOX", "use": "inbox"}, time_ms=100)
    store.put("anna", "w", "folder", {"name": "Work"}, time_ms=100)
    store.put("anna", "y", "folder", {"name": "2026", "parent": "w"}, time_ms=100)
    store.put("anna", "m", "message", {"folder": "in", "subject": "one"}, b"1", time_ms=200)
    store.put("anna", "n", "message", {"folder": "y", "subject": "other"}, b"2", time_ms=250)
    store.put("anna", "m", "message", {"folder": "w", "subject": "two"}, b"1", time_ms=300)
    store.delete("anna", "m", time_ms=400)
    return store


@pytest.mark.parametrize(
    ("instant_ms", "found"),
    [
        (200, {"INBOX:m": "one"}),
        (299, {"INBOX:m": "one"}),
        (300, {"Work:m": "two"}),
        (399, {"Work:m": "two"}),
    ],
)
def test_an_item_has_the_state_of_the_instant(
    store: MemoryStore, instant_ms: int, found: dict[str, str]
) -> None:
    assert subjects(chosen(store, OneItem("m"), at(instant_ms))) == found


def test_an_item_is_as_after_a_transaction(store: MemoryStore) -> None:
    as_of = AsOf(transaction=TransactionId("memory", "00000001", 5))
    selection = chosen(store, OneItem("m"), as_of)
    assert subjects(selection) == {"INBOX:m": "one"}
    assert selection.warnings == ()


@pytest.mark.parametrize("as_of", [NOW, at(400), at(9000)], ids=str)
def test_a_deleted_item_comes_as_it_was_before(store: MemoryStore, as_of: AsOf) -> None:
    selection = chosen(store, OneItem("m"), as_of)
    assert subjects(selection) == {"Work:m": "two"}
    assert "deleted at 1970-01-01T00:00:00.400Z" in selection.warnings[0]


def test_an_item_before_its_first_state_is_not_found(store: MemoryStore) -> None:
    with pytest.raises(NotFoundError) as raised:
        chosen(store, OneItem("m"), at(199))
    assert raised.value.hint == "It was first seen at 1970-01-01T00:00:00.200Z."


def test_an_unknown_item_brings_the_most_similar(store: MemoryStore) -> None:
    with pytest.raises(NotFoundError) as raised:
        chosen(store, OneItem("ana"))
    assert raised.value.hint == "Did you mean 'anna'?"


@pytest.mark.parametrize("name", ["w", "Work", "/Work/"])
def test_a_folder_brings_what_is_below_it(store: MemoryStore, name: str) -> None:
    assert subjects(chosen(store, OneFolder(name), at(350))) == {
        "Work:w": "Work",
        "Work/2026:y": "2026",
        "Work:m": "two",
        "Work/2026:n": "other",
    }


def test_a_folder_below_another_is_named_by_its_path(store: MemoryStore) -> None:
    found = subjects(chosen(store, OneFolder("Work/2026")))
    assert found == {"Work/2026:y": "2026", "Work/2026:n": "other"}


def test_the_inbox_is_found_by_that_name_in_any_case(store: MemoryStore) -> None:
    store.put("anna", "in", "folder", {"name": "Posteingang", "use": "inbox"}, time_ms=120)
    assert set(subjects(chosen(store, OneFolder("Inbox"), at(250)))) == {
        "Posteingang:in",
        "Posteingang:m",
    }


def test_a_folder_that_is_not_there_brings_the_most_similar(store: MemoryStore) -> None:
    with pytest.raises(NotFoundError) as raised:
        chosen(store, OneFolder("Wrok/2026"))
    assert raised.value.hint == "Did you mean 'Work/2026'?"


@pytest.mark.parametrize("name", ["y", "Work/2026", "/Work/2026/"])
def test_a_folder_that_was_deleted_names_the_way_back(store: MemoryStore, name: str) -> None:
    store.delete("anna", "y", time_ms=500)
    with pytest.raises(NotFoundError) as raised:
        chosen(store, OneFolder(name))
    assert "deleted at 1970-01-01T00:00:00.500Z" in (raised.value.hint or "")
    assert "'--at 1970-01-01T00:00:00.499Z'" in (raised.value.hint or "")
    assert "restore undelete" in (raised.value.hint or "")
    assert "Work/2026:y" in subjects(chosen(store, OneFolder(name), at(499)))


def test_two_folders_of_one_path_are_told_apart_by_id(store: MemoryStore) -> None:
    store.put("anna", "w2", "folder", {"name": "Work"}, time_ms=500)
    with pytest.raises(UsageError) as raised:
        chosen(store, OneFolder("Work"))
    assert raised.value.hint == "Name one by its id: w, w2."
    assert set(subjects(chosen(store, OneFolder("w2")))) == {"Work:w2"}


def test_folders_in_a_circle_are_brought_once(store: MemoryStore) -> None:
    store.put("anna", "w", "folder", {"name": "Work", "parent": "y"}, time_ms=500)
    assert {picked.item for picked in chosen(store, OneFolder("w")).picked} == {"w", "y", "n"}


def test_an_account_brings_folders_before_what_is_in_them(store: MemoryStore) -> None:
    selection = chosen(store, WholeAccount(), at(350))
    assert [picked.item for picked in selection.picked] == ["anna", "in", "w", "y", "m", "n"]
    assert selection.warnings == ()


def test_an_account_before_its_first_state_is_not_found(store: MemoryStore) -> None:
    with pytest.raises(NotFoundError, match="nothing is known of account anna at 1970"):
        chosen(store, WholeAccount(), at(99))


def test_an_emptied_account_warns_and_names_the_last_instant_with_items(store: MemoryStore) -> None:
    store.delete("anna", "n", time_ms=700)
    selection = chosen(store, WholeAccount())
    assert [picked.item for picked in selection.picked] == ["anna", "in", "w", "y"]
    assert "1970-01-01T00:00:00.699Z (items then: 1)" in selection.warnings[0]
    assert "n" in {picked.item for picked in chosen(store, WholeAccount(), at(699)).picked}


@pytest.mark.parametrize("as_of", [NOW, at(800), at(801)], ids=str)
def test_a_deleted_account_is_empty_and_warns(store: MemoryStore, as_of: AsOf) -> None:
    store.delete_account("anna", time_ms=800)
    selection = chosen(store, WholeAccount(), as_of)
    assert selection.picked == ()
    assert "1970-01-01T00:00:00.799Z" in selection.warnings[0]


def test_a_deleted_account_comes_back_as_of_just_before(store: MemoryStore) -> None:
    store.delete_account("anna", time_ms=800)
    picked = chosen(store, WholeAccount(), at(799)).picked
    assert [item.item for item in picked] == ["anna", "in", "w", "y", "n"]


def test_an_account_with_folders_only_that_was_deleted_warns_too() -> None:
    store = MemoryStore()
    store.put("anna", "in", "folder", {"name": "INBOX"}, time_ms=100)
    store.delete_account("anna", time_ms=200)
    assert "1970-01-01T00:00:00.199Z" in chosen(store, WholeAccount()).warnings[0]


def test_an_account_that_never_had_items_does_not_warn() -> None:
    store = MemoryStore()
    store.put("anna", "in", "folder", {"name": "INBOX"}, time_ms=100)
    assert chosen(store, WholeAccount()).warnings == ()


@pytest.mark.parametrize(
    ("start_ms", "end_ms", "found"), [(400, 401, 1), (300, 400, 0), (401, 999, 0), (0, 999, 1)]
)
def test_undelete_takes_the_start_of_the_window_and_not_its_end(
    store: MemoryStore, start_ms: int, end_ms: int, found: int
) -> None:
    assert len(chosen(store, DeletedBetween(start_ms, end_ms)).picked) == found


def test_undelete_brings_the_state_and_folder_before_the_deletion(store: MemoryStore) -> None:
    store.put("anna", "w", "folder", {"name": "Job"}, time_ms=500)
    assert subjects(chosen(store, DeletedBetween(400, 500))) == {"Work:m": "two"}


def test_undelete_calls_a_folder_as_just_before_the_deletion(store: MemoryStore) -> None:
    """Whatever happened to it in the same millisecond."""
    store.put("anna", "y", "folder", {"name": "Old", "parent": "in"}, time_ms=600)
    store.delete("anna", "n", time_ms=600)
    assert subjects(chosen(store, DeletedBetween(600, 601))) == {"Work/2026:n": "other"}


def test_undelete_brings_deleted_folders_with_their_items(store: MemoryStore) -> None:
    store.delete("anna", "n", time_ms=600)
    store.delete("anna", "y", time_ms=600)
    found = subjects(chosen(store, DeletedBetween(600, 601)))
    assert found == {"Work/2026:y": "2026", "Work/2026:n": "other"}


def test_undelete_leaves_what_is_back_and_says_so(store: MemoryStore) -> None:
    store.put("anna", "m", "message", {"folder": "in", "subject": "three"}, b"1", time_ms=500)
    selection = chosen(store, DeletedBetween(400, 500))
    assert selection.picked == ()
    assert selection.warnings == ("deleted in the window, but back since, and left as they are: m",)


def test_undelete_takes_the_last_of_several_deletions(store: MemoryStore) -> None:
    store.put("anna", "m", "message", {"folder": "in", "subject": "three"}, b"1", time_ms=500)
    store.delete("anna", "m", time_ms=600)
    assert subjects(chosen(store, DeletedBetween(400, 601))) == {"INBOX:m": "three"}
    assert subjects(chosen(store, DeletedBetween(400, 600))) == {"Work:m": "two"}


def test_undelete_takes_away_the_mark_that_hides_a_message() -> None:
    store = MemoryStore()
    flags = ["seen", "deleted", "muted"]
    store.put("anna", "m", "message", {"folder": "in", "flags": flags}, b"1", time_ms=100)
    store.delete("anna", "m", time_ms=200)
    (picked,) = chosen(store, DeletedBetween(200, 201)).picked
    assert picked.state is not None
    assert picked.state.state["flags"] == ["seen", "muted"]
    (picked,) = chosen(store, OneItem("m"), at(150)).picked
    assert picked.state is not None
    assert picked.state.state["flags"] == flags


def test_undelete_of_an_item_known_only_by_its_deletion_has_no_state() -> None:
    store = MemoryStore()
    store.put("anna", "in", "folder", {"name": "INBOX"}, time_ms=100)
    store.delete("anna", "x", time_ms=200)
    (picked,) = chosen(store, DeletedBetween(200, 201)).picked
    assert (picked.item, picked.state) == ("x", None)


def test_a_transaction_inside_a_run_gives_its_end_and_says_so() -> None:
    store = MemoryStore(moment_ms=100)
    state = {"folder": "in", "subject": "s"}
    first = store.put("anna", "m", "message", {**state, "flags": ["seen"]}, b"1", time_ms=10)
    last = store.put("anna", "m", "message", {**state, "flags": ["flagged"]}, b"1", time_ms=20)
    store.put("anna", "m", "message", state, b"1", time_ms=500)
    selection = chosen(store, OneItem("m"), AsOf(transaction=first))
    assert selection.picked[0].state is not None
    assert selection.picked[0].state.state["flags"] == ["flagged"]
    assert selection.warnings == (
        f"transaction {first} was recorded together with the ones after it; "
        f"item m is as it was after {last}",
    )
    assert chosen(store, OneItem("m"), AsOf(transaction=last)).warnings == ()


def test_a_transaction_that_came_too_late_is_said_to_have_had_no_effect() -> None:
    store = MemoryStore()
    state = {"folder": "in", "subject": "new"}
    store.put("anna", "m", "message", state, b"1", time_ms=10, change=9)
    late = store.put("anna", "m", "message", {**state, "subject": "old"}, time_ms=20, change=8)
    selection = chosen(store, OneItem("m"), AsOf(transaction=late))
    assert subjects(selection) == {"unknown-in:m": "new"}
    assert "never took effect" in selection.warnings[0]


def test_an_unknown_transaction_is_not_found(store: MemoryStore) -> None:
    with pytest.raises(NotFoundError):
        chosen(store, OneItem("m"), AsOf(transaction=TransactionId("memory", "00000001", 99)))
