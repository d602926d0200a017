"""The plan: everything that will be done, as one value that can be printed."""

from __future__ import annotations

import msgspec

from streambackup.restore.plan import PlannedItem, RestorePlan, make_plan, restore_key
from streambackup.restore.report import Failure
from streambackup.restore.select import AsOf, DeletedBetween, OneItem, Scope, WholeAccount
from streambackup.targets.port import FolderPath
from streambackup.testing.memory_store import MemoryStore


def plan_of(
    store: MemoryStore, scope: Scope | None = None, *, name: str = "5f1e", account: str = "anna"
) -> RestorePlan:
    history = store.history(account)
    return make_plan(
        history, scope or WholeAccount(), AsOf(), store=name, into="bert", place="/restored"
    )


def key_of(plan: RestorePlan) -> str:
    (item,) = plan.items
    return restore_key(plan, item)


def one_message(account: str = "anna", item: str = "m", **fields: object) -> MemoryStore:
    store = MemoryStore()
    store.put(account, item, "message", {"folder": "in", **fields}, b"1", time_ms=100)
    return store


def test_a_plan_names_folders_from_the_top_and_items_with_what_they_will_be() -> None:
    store = MemoryStore()
    store.put("anna", "y", "folder", {"name": "2026", "parent": "w"}, time_ms=100)
    store.put("anna", "w", "folder", {"name": "Work"}, time_ms=100)
    last = store.put("anna", "m", "message", {"folder": "y"}, b"mail", time_ms=100)
    plan = plan_of(store)
    assert plan.folders == (FolderPath(("Work",)), FolderPath(("Work", "2026")))
    assert [item.item for item in plan.items] == ["w", "y", "m"]
    message = plan.items[-1]
    assert (message.type, message.transaction, message.size) == ("message", str(last), 4)
    assert str(message.folder) == "Work/2026"


def test_a_plan_can_be_printed_as_json() -> None:
    plan = plan_of(one_message(subject="plans"))
    printed = msgspec.json.decode(msgspec.json.encode(plan))
    assert printed["items"][0]["item"] == "m"
    assert printed["into"] == "bert"
    assert msgspec.json.decode(msgspec.json.encode(plan), type=RestorePlan) == plan


def test_a_plan_says_as_of_when() -> None:
    store = one_message()
    assert plan_of(store).as_of == "now"
    store.delete("anna", "m", time_ms=200)
    assert plan_of(store, DeletedBetween(0, 999)).as_of == (
        "as before their deletion between 1970-01-01T00:00:00.000Z and 1970-01-01T00:00:00.999Z"
    )


def test_a_state_that_is_none_of_its_type_is_broken() -> None:
    store = one_message(subject=5)
    store.put("anna", "x", "hologram", {"folder": "in"}, time_ms=100)
    plan = plan_of(store)
    assert plan.items == ()
    assert [(broken.item, broken.failure) for broken in plan.unrestorable] == [
        ("m", Failure.BROKEN),
        ("x", Failure.BROKEN),
    ]
    assert "$.subject" in plan.unrestorable[0].reason


def test_an_item_known_only_by_its_deletion_is_broken() -> None:
    store = one_message()
    store.delete("anna", "x", time_ms=200)
    (broken,) = plan_of(store, DeletedBetween(200, 201)).unrestorable
    assert (broken.item, broken.reason) == ("x", "only its deletion is known")


def test_a_plan_carries_the_accounts_doubts() -> None:
    store = one_message()
    store.delete_account("anna", time_ms=200)
    assert [doubt.since_ms for doubt in plan_of(store).doubts] == [200]


def test_keys_differ_in_everything_that_tells_two_restored_items_apart() -> None:
    other = one_message(item="other")
    changed = one_message(subject="new")
    again = one_message()
    again.put("anna", "m", "message", {"folder": "w"}, b"1", time_ms=200)
    again.put("anna", "m", "message", {"folder": "in"}, b"1", time_ms=300)
    keys = [
        key_of(plan_of(one_message())),
        key_of(plan_of(one_message(), name="another store")),
        key_of(plan_of(one_message("bert"), account="bert")),
        key_of(plan_of(other)),
        key_of(plan_of(changed)),
        key_of(plan_of(again)),
    ]
    assert len(set(keys)) == len(keys)


def test_a_transaction_that_changes_nothing_keeps_the_key() -> None:
    """It joins the state, whose last transaction is another now."""
    store = one_message()
    before = plan_of(store)
    store.put("anna", "m", "message", {"folder": "in"}, b"1", time_ms=200)
    after = plan_of(store)
    assert after.items[0].transaction != before.items[0].transaction
    assert key_of(after) == key_of(before)


def test_planning_one_item_makes_its_folder_only() -> None:
    store = one_message()
    store.put("anna", "in", "folder", {"name": "INBOX", "use": "inbox"}, time_ms=50)
    store.put("anna", "w", "folder", {"name": "Work"}, time_ms=50)
    plan = plan_of(store, OneItem("m"))
    assert plan.folders == (FolderPath(("INBOX",), "inbox"),)
    assert isinstance(plan.items[0], PlannedItem)
