"""The newest earlier state of an item that could be restored instead."""

from __future__ import annotations

from collections.abc import Iterator

from streambackup.domain.history import ItemHistory, ItemState
from streambackup.errors import BusError, StoreError
from streambackup.restore.plan import typed_state
from streambackup.restore.ports import Contents
from streambackup.targets.port import ContentError


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
            for _ in usable_pieces(state, contents):
                pass
        except ContentError:
            without_content.add(state.digest)
            continue
        return str(state.transactions[-1])
    return None


def usable_pieces(state: ItemState, contents: Contents) -> Iterator[bytes]:
    """The content of *state*.

    Raises:
        ContentError: it cannot be had (StoreError, BusError), or is not as the state says
        (ValueError).
    """
    size = 0
    try:
        for piece in contents.pieces(state):
            size += len(piece)
            yield piece
    except (StoreError, BusError) as error:
        raise ContentError(error) from error
    if state.digest is not None and state.size not in (None, size):
        reason = f"the content has {size} bytes, the state says {state.size}"
        raise ContentError(ValueError(reason))


def _earlier(history: ItemHistory, before: str) -> Iterator[ItemState]:
    """The states that were current before the one of *before*, the newest first."""
    found = False
    for state in reversed(history.states):
        if found and not state.late and not state.deleted:
            yield state
        found = found or before in map(str, state.transactions)
