"""What a restore will do, decided before anything is written; ``--dry-run`` prints it."""

from __future__ import annotations

import hashlib

import msgspec

from streambackup.domain.entry import ItemType
from streambackup.domain.history import AccountHistory, Doubt, ItemState, canonical
from streambackup.domain.item import STATE_TYPES, State
from streambackup.restore.report import Failure, Unrestored
from streambackup.restore.select import AsOf, DeletedBetween, Picked, Scope, select
from streambackup.targets.port import FolderPath

_KEY_DIGITS = 32


class PlannedItem(msgspec.Struct, frozen=True):
    """One item to create: ``transaction`` is the last that led to the state it will have."""

    item: str
    type: str
    transaction: str
    folder: FolderPath
    state: ItemState

    @property
    def digest(self) -> str | None:
        return self.state.digest

    @property
    def size(self) -> int:
        return self.state.size or 0


class RestorePlan(msgspec.Struct, frozen=True, kw_only=True):
    """Items of *account* in *store*, *as_of* in words, to create in *into* at *place*.

    ``unrestorable`` are those whose state cannot be used; ``doubts`` say since when the account's
    history may not be the whole truth.
    """

    store: str
    account: str
    as_of: str
    into: str
    place: str
    folders: tuple[FolderPath, ...]
    items: tuple[PlannedItem, ...]
    unrestorable: tuple[Unrestored, ...] = ()
    warnings: tuple[str, ...] = ()
    doubts: tuple[Doubt, ...] = ()


def make_plan(
    history: AccountHistory, scope: Scope, as_of: AsOf, *, store: str, into: str, place: str
) -> RestorePlan:
    """The plan for *scope* of *history*, which is folded until ``as_of.transaction``.

    Raises:
        NotFoundError, UsageError: *scope* names nothing there, or more than one thing.
    """
    selection = select(history, scope, as_of)
    items: list[PlannedItem] = []
    broken: list[Unrestored] = []
    for picked in selection.picked:
        planned = _planned(picked)
        if isinstance(planned, PlannedItem):
            items.append(planned)
        else:
            broken.append(planned)
    folders = dict.fromkeys(item.folder for item in items)
    return RestorePlan(
        store=store,
        account=history.account,
        as_of=str(scope if isinstance(scope, DeletedBetween) else as_of),
        into=into,
        place=place,
        folders=tuple(sorted(folders, key=lambda folder: len(folder.names))),
        items=tuple(items),
        unrestorable=tuple(broken),
        warnings=selection.warnings,
        doubts=history.doubts,
    )


def typed_state(state: ItemState) -> State:
    """The state as its type means it.

    Raises:
        ValueError: it is none of its type; the message names the field.
    """
    return msgspec.convert(state.state, STATE_TYPES[ItemType(state.type)])


def restore_key(plan: RestorePlan, item: PlannedItem) -> str:
    """What names this state of this item of this store, and no other, in the id map and at targets.

    It holds the state's *first* transaction: later ones that change nothing worth keeping join the
    state, and must not make it look new. And it holds the state itself: two transactions of one id
    are two states.
    """
    known = (
        plan.store,
        plan.account,
        item.item,
        str(item.state.transactions[0]),
        item.type,
        item.digest,
        item.state.state,
    )
    return hashlib.sha256(canonical(known)).hexdigest()[:_KEY_DIGITS]


def _planned(picked: Picked) -> PlannedItem | Unrestored:
    state = picked.state
    if state is None:
        return Unrestored(picked.item, "", "", Failure.BROKEN, "only its deletion is known")
    transaction = str(state.transactions[-1])
    try:
        typed_state(state)
    except ValueError as error:
        reason = f"its state cannot be used: {error}"
        return Unrestored(picked.item, state.type, transaction, Failure.BROKEN, reason)
    return PlannedItem(picked.item, state.type, transaction, picked.folder, state)
