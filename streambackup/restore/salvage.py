"""The newest earlier state of an item that could be restored instead."""

from __future__ import annotations

from collections.abc import Iterator

from streambackup.domain.history import ItemHistory, ItemState
from streambackup.errors import BusError, StoreError
from streambackup.restore.plan import typed_state
from streambackup.restore.ports import Contents


def earlier_good(history: ItemHistory, before: str, contents: Contents) -> str | None:
    """The transaction of the newest state of the item that stands before the one that *before* led
    to, is of its type, and whose content is there.
    """
    without_content: set[str | None] = set()
    for state in _earlier(history, before):
        if state.digest in without_content:
            continue
        try:
            typed_state(state)
        except ValueError:
            continue
        try:
            usable_content(state, contents)
        except (StoreError, BusError, ValueError):
            without_content.add(state.digest)
            continue
        return str(state.transactions[-1])
    return None


def usable_content(state: ItemState, contents: Contents) -> bytes | None:
    """The content of *state*.

    Raises:
        StoreError, BusError: it cannot be had. ValueError: it is not as the state says.
    """
    content = contents.read(state)
    if content is None and state.digest is not None:
        raise ValueError(f"there is no content for {state.digest}")
    if content is not None and state.size not in (None, len(content)):
        raise ValueError(f"the content has {len(content)} bytes, the state says {state.size}")
    return content


def _earlier(history: ItemHistory, before: str) -> Iterator[ItemState]:
    """The states that were current before the one of *before*, the newest first."""
    found = False
    for state in reversed(history.states):
        if found and not state.late and not state.deleted:
            yield state
        found = found or before in map(str, state.transactions)
