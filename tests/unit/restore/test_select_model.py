"""Selection against a model that remembers the whole mailbox after every single change."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from streambackup.domain.transaction import TransactionId
from streambackup.restore.select import (
    AsOf,
    DeletedBetween,
    OneFolder,
    OneItem,
    Scope,
    WholeAccount,
    select,
)
from streambackup.testing.memory_store import MemoryStore

ITEMS = ["m1", "m2", "m3"]
FOLDERS = ["f1", "f2"]


class Step(NamedTuple):
    """One change: an item is put into a folder or deleted, or a folder gets another name."""

    pause_ms: int
    what: str
    folder: str


class Mail(NamedTuple):
    folder: str
    version: int


class Moment(NamedTuple):
    """The whole mailbox after a change."""

    time_ms: int
    transaction: TransactionId | None
    mails: dict[str, Mail]
    names: dict[str, str]


steps = st.lists(
    st.builds(
        Step,
        st.integers(0, 2),
        st.sampled_from([*ITEMS, *(f"delete {item}" for item in ITEMS), *FOLDERS]),
        st.sampled_from(FOLDERS),
    ),
    min_size=1,
    max_size=14,
)


def play(script: list[Step]) -> tuple[MemoryStore, list[Moment]]:
    """A store to which *script* happened, and every mailbox on the way."""
    store = MemoryStore()
    names = {folder: f"{folder} v0" for folder in FOLDERS}
    for folder, name in names.items():
        store.put("anna", folder, "folder", {"name": name}, time_ms=10)
    time_ms, mails = 10, dict[str, Mail]()
    moments = [Moment(time_ms, None, {}, dict(names))]
    for version, step in enumerate(script, 1):
        time_ms += step.pause_ms
        if step.what in FOLDERS:
            names[step.what] = f"{step.what} v{version}"
            state = {"name": names[step.what]}
            done = store.put("anna", step.what, "folder", state, time_ms=time_ms)
        elif step.what in ITEMS:
            mails[step.what] = Mail(step.folder, version)
            state = {"folder": step.folder, "subject": f"v{version}"}
            done = store.put("anna", step.what, "message", state, b"", time_ms=time_ms)
        else:
            item = step.what.removeprefix("delete ")
            mails.pop(item, None)
            done = store.delete("anna", item, time_ms=time_ms)
        moments.append(Moment(time_ms, done, dict(mails), dict(names)))
    return store, moments


def chosen(store: MemoryStore, scope: Scope, as_of: AsOf) -> dict[str, tuple[str, str] | None]:
    """Of each message picked, its folder's path and its subject."""
    selection = select(store.history("anna", until=as_of.transaction), scope, as_of)
    return {
        picked.item: (str(picked.folder), picked.state.state["subject"]) if picked.state else None
        for picked in selection.picked
        if picked.item in ITEMS
    }


def shown(moment: Moment, at: Moment | None = None) -> dict[str, tuple[str, str]]:
    """What a restore of *moment* has to give, in folders called as they were *at* another one."""
    names = (at or moment).names
    return {item: (names[mail.folder], f"v{mail.version}") for item, mail in moment.mails.items()}


@given(steps)
def test_an_account_at_any_instant_is_the_mailbox_of_then(script: list[Step]) -> None:
    store, moments = play(script)
    for instant_ms in range(10, moments[-1].time_ms + 2):
        then = [moment for moment in moments if moment.time_ms <= instant_ms][-1]
        assert chosen(store, WholeAccount(), AsOf(instant_ms=instant_ms)) == shown(then)


@given(steps)
def test_an_account_after_any_transaction_is_the_mailbox_of_then(script: list[Step]) -> None:
    store, moments = play(script)
    for moment in moments[1:]:
        assert chosen(store, WholeAccount(), AsOf(transaction=moment.transaction)) == shown(moment)


@given(steps)
def test_an_item_or_a_folder_is_its_part_of_the_account(script: list[Step]) -> None:
    store, moments = play(script)
    for moment in moments[1:]:
        as_of = AsOf(transaction=moment.transaction)
        expected = shown(moment)
        for item in moment.mails:
            assert chosen(store, OneItem(item), as_of) == {item: expected[item]}
        for folder in FOLDERS:
            inside = {i: expected[i] for i, mail in moment.mails.items() if mail.folder == folder}
            assert chosen(store, OneFolder(folder), as_of) == inside
            assert chosen(store, OneFolder(moment.names[folder]), as_of) == inside


@given(steps, st.integers(10, 40), st.integers(0, 30))
def test_undelete_is_exactly_what_was_deleted_in_the_window(
    script: list[Step], start_ms: int, length_ms: int
) -> None:
    store, moments = play(script)
    expected: dict[str, tuple[str, str] | None] = {}
    seen: set[str] = set()
    for before, moment, step in zip(moments, moments[1:], script, strict=False):
        item = step.what.removeprefix("delete ")
        if step.what.startswith("delete ") and start_ms <= moment.time_ms < start_ms + length_ms:
            just_before = [m for m in moments if m.time_ms < moment.time_ms] or moments[:1]
            if item in before.mails:
                expected[item] = shown(before, just_before[-1])[item]
            elif item not in seen:
                expected[item] = None
        seen.add(item)
    for item in moments[-1].mails:
        expected.pop(item, None)
    window = DeletedBetween(start_ms, start_ms + length_ms)
    assert chosen(store, window, AsOf()) == expected
