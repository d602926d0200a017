"""Which items to bring back, and each in which state: a pure choice from an account's history."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from streambackup.domain.entry import ItemType
from streambackup.domain.history import AccountHistory, ItemHistory, ItemState
from streambackup.domain.instant import format_instant
from streambackup.domain.mail_flags import DELETED
from streambackup.domain.transaction import TransactionId
from streambackup.domain.words import did_you_mean
from streambackup.errors import NotFoundError, UsageError
from streambackup.reading.folder_paths import FolderPaths, container_of
from streambackup.targets.port import FolderPath

_NAMED_MAX = 10


class AsOf(msgspec.Struct, frozen=True):
    """At an instant, or after a transaction (the history is folded until it); now where neither."""

    instant_ms: int | None = None
    transaction: TransactionId | None = None

    def __str__(self) -> str:
        if self.transaction is not None:
            return f"after {self.transaction}"
        return "now" if self.instant_ms is None else f"at {format_instant(self.instant_ms)}"


class OneItem(msgspec.Struct, frozen=True):
    item: str


class OneFolder(msgspec.Struct, frozen=True):
    """A folder by its id or its path (``Work/2026``), with all below it."""

    folder: str


class WholeAccount(msgspec.Struct, frozen=True):
    pass


class DeletedBetween(msgspec.Struct, frozen=True):
    """What was deleted from *start_ms* on and before *end_ms*."""

    start_ms: int
    end_ms: int

    def __str__(self) -> str:
        window = f"{format_instant(self.start_ms)} and {format_instant(self.end_ms)}"
        return f"as before their deletion between {window}"


Scope = OneItem | OneFolder | WholeAccount | DeletedBetween


class Picked(msgspec.Struct, frozen=True):
    """An item, the state to bring back (None: nothing but its deletion is known), its folder."""

    item: str
    state: ItemState | None
    folder: FolderPath


class Selection(msgspec.Struct, frozen=True):
    """Accounts first, then folders from the top down, then the rest as it came."""

    picked: tuple[Picked, ...]
    warnings: tuple[str, ...] = ()


def select(history: AccountHistory, scope: Scope, as_of: AsOf) -> Selection:
    """What *scope* means in *history*, which is folded until ``as_of.transaction``.

    Raises:
        NotFoundError: no such item or folder, or not at that instant. UsageError: a path that
        several folders have.
    """
    match scope:
        case DeletedBetween():
            selection = _deleted_between(history, scope)
        case OneItem():
            selection = _one_item(history, scope.item, as_of)
        case OneFolder():
            selection = _one_folder(history, scope.folder, as_of)
        case WholeAccount():
            selection = _whole_account(history, as_of)
    return Selection(
        tuple(sorted(selection.picked, key=_order)),
        (*selection.warnings, *_inside_a_run(history, as_of.transaction)),
    )


def _one_item(history: AccountHistory, item: str, as_of: AsOf) -> Selection:
    known = history.items.get(item)
    if known is None:
        raise NotFoundError(
            f"account {history.account} has no item {item}", hint=did_you_mean(item, history.items)
        )
    state = known.current if as_of.instant_ms is None else known.at(as_of.instant_ms)
    if state is None:
        first = min(known.states, key=lambda state: state.start_ms)
        raise NotFoundError(
            f"item {item} was not there {as_of}",
            hint=f"It was first seen at {format_instant(first.start_ms)}.",
        )
    if not state.deleted:
        path = FolderPaths(history).of_item(item, state, as_of.instant_ms)
        return Selection((Picked(item, state, path),), _late(known, as_of))
    warning = (
        f"item {item} was deleted at {format_instant(state.start_ms)}; "
        "it is restored as it was before"
    )
    return Selection((_before_deletion(FolderPaths(history), known, state),), (warning,))


def _one_folder(history: AccountHistory, wanted: str, as_of: AsOf) -> Selection:
    paths = FolderPaths(history)
    live = {known.item: state for known, state in history.live(as_of.instant_ms)}
    folders = [item for item, state in live.items() if state.type == ItemType.FOLDER]
    known_as = {folder: paths.of_folder(folder, as_of.instant_ms) for folder in folders}
    try:
        top = _find_folder(wanted, known_as, as_of)
    except NotFoundError as error:
        hint = _deleted_folder(history, paths, wanted, as_of) or error.hint
        raise NotFoundError(error.message, hint=hint) from error
    inside, reached = {top}, [top]
    children: dict[str, list[str]] = {}
    for item, state in live.items():
        container = container_of(state)
        if container is not None:
            children.setdefault(container, []).append(item)
    while reached:
        new = [item for item in children.get(reached.pop(), ()) if item not in inside]
        inside.update(new)
        reached.extend(item for item in new if live[item].type == ItemType.FOLDER)
    return _with_paths(((i, s) for i, s in live.items() if i in inside), history, as_of)


def _find_folder(wanted: str, folders: dict[str, FolderPath], as_of: AsOf) -> str:
    if wanted in folders:
        return wanted
    path = wanted.strip("/")
    found = [
        folder
        for folder, its in folders.items()
        if str(its) == path or (its.use == "inbox" and path.casefold() == "inbox")
    ]
    if len(found) > 1:
        raise UsageError(
            f"{len(found)} folders are called {wanted}",
            hint=f"Name one by its id: {', '.join(sorted(found)[:_NAMED_MAX])}.",
        )
    if not found:
        raise NotFoundError(
            f"there is no folder {wanted} {as_of}",
            hint=did_you_mean(path, map(str, folders.values())),
        )
    return found[0]


def _deleted_folder(
    history: AccountHistory, paths: FolderPaths, wanted: str, as_of: AsOf
) -> str | None:
    """How to bring back the folder *wanted* as it was before it was deleted, if it was."""
    deletions = [
        state.start_ms
        for known in history.items.values()
        for state in known.states
        if state.type == ItemType.FOLDER
        and state.deleted
        and not state.late
        and (as_of.instant_ms is None or state.start_ms <= as_of.instant_ms)
        and wanted.strip("/") in (known.item, str(paths.of_folder(known.item, state.start_ms - 1)))
    ]
    if not deletions:
        return None
    last = max(deletions)
    return (
        f"It was deleted at {format_instant(last)}: '--at {format_instant(last - 1)}' brings it "
        "back as it was before, 'streambackup restore undelete' all that was deleted with it."
    )


def _whole_account(history: AccountHistory, as_of: AsOf) -> Selection:
    starts = [state.start_ms for known in history.items.values() for state in known.states]
    if as_of.instant_ms is not None and (not starts or as_of.instant_ms < min(starts)):
        raise NotFoundError(
            f"nothing is known of account {history.account} {as_of}",
            hint=f"It was first seen at {format_instant(min(starts))}." if starts else None,
        )
    live = [(known.item, state) for known, state in history.live(as_of.instant_ms)]
    selection = _with_paths(live, history, as_of)
    if any(_is_the_users(state) for _, state in live):
        return selection
    ends = _ends(history, as_of, _is_the_users) or (
        [] if live else _ends(history, as_of, lambda state: True)
    )
    if not ends:
        return selection
    last_ms = max(ends) - 1
    held = sum(_is_the_users(state) for _, state in history.live(last_ms))
    warning = (
        f"account {history.account} is empty {as_of}; the last instant at which it was not is "
        f"{format_instant(last_ms)} (items then: {held}); restore as of that or earlier"
    )
    return Selection(selection.picked, (warning,))


def _with_paths(
    found: Iterable[tuple[str, ItemState]], history: AccountHistory, as_of: AsOf
) -> Selection:
    paths = FolderPaths(history)
    return Selection(
        tuple(
            Picked(item, state, paths.of_item(item, state, as_of.instant_ms))
            for item, state in found
        )
    )


def _is_the_users(state: ItemState) -> bool:
    return state.type not in (ItemType.FOLDER, ItemType.ACCOUNT)


def _ends(history: AccountHistory, as_of: AsOf, counts: Callable[[ItemState], bool]) -> list[int]:
    """When states that count ended, those that were any time at all, up to *as_of*."""
    return [
        state.end_ms
        for known in history.items.values()
        for state in known.states
        if not state.late
        and not state.deleted
        and counts(state)
        and state.end_ms is not None
        and state.start_ms < state.end_ms
        and (as_of.instant_ms is None or state.end_ms <= as_of.instant_ms)
    ]


def _deleted_between(history: AccountHistory, window: DeletedBetween) -> Selection:
    paths = FolderPaths(history)
    picked, returned = [], []
    for known in history.items.values():
        deletions = [
            state
            for state in known.states
            if state.deleted
            and not state.late
            and window.start_ms <= state.start_ms < window.end_ms
        ]
        if not deletions:
            continue
        if known.current is not None and not known.current.deleted:
            returned.append(known.item)
        else:
            picked.append(_before_deletion(paths, known, deletions[-1]))
    if not returned:
        return Selection(tuple(picked))
    named = ", ".join(returned[:_NAMED_MAX]) + (", ..." if len(returned) > _NAMED_MAX else "")
    return Selection(
        tuple(picked),
        (f"deleted in the window, but back since, and left as they are: {named}",),
    )


def _before_deletion(paths: FolderPaths, known: ItemHistory, deletion: ItemState) -> Picked:
    """*known* as it was before *deletion*, and without the mark by which clients hide it."""
    before = None
    for state in known.states:
        if state is deletion:
            break
        if not state.late and not state.deleted:
            before = state
    path = paths.of_item(known.item, before or deletion, deletion.start_ms - 1)
    return Picked(known.item, before and _visible(before), path)


def _visible(state: ItemState) -> ItemState:
    flags = state.state.get("flags")
    if not isinstance(flags, list) or DELETED not in flags:
        return state
    kept = [flag for flag in flags if flag != DELETED]
    return msgspec.structs.replace(state, state={**state.state, "flags": kept})


def _inside_a_run(history: AccountHistory, wanted: TransactionId | None) -> Iterable[str]:
    if wanted is None:
        return
    for known in history.items.values():
        state = known.after(wanted)
        if state is not None and state.transactions[-1] != wanted:
            yield (
                f"transaction {wanted} was recorded together with the ones after it; "
                f"item {known.item} is as it was after {state.transactions[-1]}"
            )


def _late(known: ItemHistory, as_of: AsOf) -> tuple[str, ...]:
    state = as_of.transaction and known.after(as_of.transaction)
    if not state or not state.late:
        return ()
    return (
        f"transaction {as_of.transaction} came behind a later one and never took effect; "
        "the item is as it was then",
    )


def _order(picked: Picked) -> tuple[int, int]:
    type = picked.state.type if picked.state else ""
    if type == ItemType.ACCOUNT:
        return (0, 0)
    return (1, len(picked.folder.names)) if type == ItemType.FOLDER else (2, 0)
