"""Finding items without knowing their ids:
by folder, sender, subject, date, or when they were deleted.

Pure.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from streambackup.domain.entry import ItemType
from streambackup.domain.history import AccountHistory, ItemHistory, ItemState
from streambackup.domain.words import did_you_mean
from streambackup.errors import NotFoundError
from streambackup.reading.folder_paths import FolderPaths, container_of

_NAME_FIELDS = ("subject", "name", "summary", "title", "address")
_DATE_FIELDS = ("received_ms", "sent_ms", "start_ms", "due_ms", "modified_ms")


class Window(NamedTuple):
    """From ``begin_ms`` until ``end_ms``, exclusive; None is open."""

    begin_ms: int | None = None
    end_ms: int | None = None

    def holds(self, time_ms: int | None) -> bool:
        if self == (None, None):
            return True
        if time_ms is None:
            return False
        return (self.begin_ms is None or self.begin_ms <= time_ms) and (
            self.end_ms is None or time_ms < self.end_ms
        )


class ItemFilter(msgspec.Struct, frozen=True, kw_only=True):
    """What to look for; all that is given must hold. Texts are found anywhere, in any case.

    ``at_ms`` looks at the account as it was then. ``deleted`` looks only for items deleted within
    the window, and shows them as they were just before. ``folder`` is an id, a name or a path, as
    it is called now or was when the item was deleted.
    """

    at_ms: int | None = None
    with_deleted: bool = False
    deleted: Window | None = None
    dated: Window = Window()
    types: frozenset[str] = frozenset()
    folder: str | None = None
    sender: str | None = None
    subject: str | None = None


class ListedItem(msgspec.Struct, frozen=True, kw_only=True):
    """An item in a list. ``folder`` is a path, ``date_ms`` its own date (received, begins, due)."""

    item: str
    type: str
    folder: str
    name: str
    sender: str | None
    date_ms: int | None
    changed_ms: int
    deleted_ms: int | None
    size: int | None
    digest: str | None


def list_items(history: AccountHistory, wanted: ItemFilter) -> Iterator[ListedItem]:
    """Items of *history* that *wanted* describes, in the order in which they were first seen.

    Raises:
        NotFoundError: nothing is found, and no folder is called as *wanted* says.
    """
    paths = FolderPaths(history)
    found = _found(history, wanted, paths)
    first = next(found, None)
    if first is None:
        if wanted.folder is not None:
            _check_folder(history, wanted.folder, wanted.at_ms, paths)
        return iter(())
    return itertools.chain([first], found)


def _found(history: AccountHistory, wanted: ItemFilter, paths: FolderPaths) -> Iterator[ListedItem]:
    for item in history.items.values():
        for shown, deleted_ms in _shown_states(item, wanted):
            at_ms = wanted.at_ms if deleted_ms is None else deleted_ms - 1
            folder = container_of(shown)
            path = "" if folder is None else str(paths.of_folder(folder, at_ms))
            path_now = "" if folder is None else str(paths.of_folder(folder, wanted.at_ms))
            if _in_folder(wanted.folder, folder, path, path_now) and _matches(shown, wanted):
                yield _listed(item.item, shown, deleted_ms, path)


def _check_folder(
    history: AccountHistory, wanted: str, at_ms: int | None, paths: FolderPaths
) -> None:
    """Raises NotFoundError where no folder is called *wanted*, nor ever was by its own name."""
    called: list[str] = []
    for item in history.items.values():
        if item.states[-1].type == ItemType.FOLDER:
            names = {name for s in item.states if isinstance(name := s.state.get("name"), str)}
            names.add(str(paths.of_folder(item.item, at_ms)))
            if _in_folder(wanted, item.item, *names):
                return
            called += [item.item, *names]
    raise NotFoundError(
        f"account {history.account} has no folder {wanted}",
        hint=did_you_mean(wanted.strip("/"), called),
    )


def _shown_states(item: ItemHistory, wanted: ItemFilter) -> Iterator[tuple[ItemState, int | None]]:
    """The state to look at, and when that one was deleted; more than one where an item was deleted
    more than once within the window.
    """
    if wanted.deleted is not None:
        for state in item.states:
            if state.deleted and not state.late and wanted.deleted.holds(state.start_ms):
                yield state, state.start_ms
        return
    found = item.current if wanted.at_ms is None else item.at(wanted.at_ms)
    if found is not None and (wanted.with_deleted or not found.deleted):
        yield found, found.start_ms if found.deleted else None


def _matches(shown: ItemState, wanted: ItemFilter) -> bool:
    state = shown.state
    return (
        (not wanted.types or shown.type in wanted.types)
        and wanted.dated.holds(_first_number(state, _DATE_FIELDS))
        and _contains(state.get("sender"), wanted.sender)
        and _contains(_first_text(state, _NAME_FIELDS), wanted.subject)
    )


def _contains(value: object, part: str | None) -> bool:
    return part is None or (isinstance(value, str) and part.casefold() in value.casefold())


def _in_folder(wanted: str | None, folder: str | None, *paths: str) -> bool:
    """Whether *wanted* is the folder's id, or the end of one of its *paths*."""
    if wanted is None or folder == wanted:
        return True
    asked = wanted.strip("/").casefold()
    return any(f"/{path.casefold()}".endswith("/" + asked) for path in paths)


def _listed(item: str, shown: ItemState, deleted_ms: int | None, folder: str) -> ListedItem:
    sender = shown.state.get("sender")
    return ListedItem(
        item=item,
        type=shown.type,
        folder=folder,
        name=_first_text(shown.state, _NAME_FIELDS) or "",
        sender=sender if isinstance(sender, str) else None,
        date_ms=_first_number(shown.state, _DATE_FIELDS),
        changed_ms=shown.start_ms,
        deleted_ms=deleted_ms,
        size=shown.size,
        digest=shown.digest,
    )


def _first_text(state: dict[str, Any], fields: Sequence[str]) -> str | None:
    return next((v for field in fields if isinstance(v := state.get(field), str)), None)


def _first_number(state: dict[str, Any], fields: Sequence[str]) -> int | None:
    return next((v for field in fields if isinstance(v := state.get(field), int)), None)
