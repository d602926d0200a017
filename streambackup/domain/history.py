"""Histories: what the fold makes of an account's entries, and how to look into them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from streambackup.domain.finding import Finding
from streambackup.domain.transaction import Position, TransactionId

canonical: Callable[[Any], bytes] = msgspec.json.Encoder(order="sorted").encode
"""The one JSON text of a state, which two states share only where they are the same."""


class ItemState(msgspec.Struct, frozen=True, kw_only=True):
    """An item from ``start_ms`` until ``end_ms`` (exclusive; None: until now).

    A deleted state keeps what the item was before. A late one arrived behind its successor: it was
    never current and has no length. ``transactions`` are all that led to exactly this state, in
    stream order.
    """

    start_ms: int
    end_ms: int | None
    type: str
    transactions: tuple[TransactionId, ...]
    state: dict[str, Any]
    deleted: bool = False
    late: bool = False
    digest: str | None = None
    size: int | None = None
    content: Position | None = None
    published_ms: int = 0

    def covers(self, instant_ms: int) -> bool:
        """Whether the item was in this state at *instant_ms*."""
        return (
            not self.late
            and self.start_ms <= instant_ms
            and (self.end_ms is None or instant_ms < self.end_ms)
        )


class ItemHistory(msgspec.Struct, frozen=True):
    """All states of an item in stream order; those not late follow each other without hole."""

    item: str
    states: tuple[ItemState, ...]

    def at(self, instant_ms: int) -> ItemState | None:
        """The one state valid at *instant_ms*; None before the item was first seen."""
        return next((state for state in self.states if state.covers(instant_ms)), None)

    def after(self, transaction: TransactionId) -> ItemState | None:
        """The state that *transaction* led to; None if it did not touch this item."""
        return next((s for s in self.states if transaction in s.transactions), None)

    @property
    def current(self) -> ItemState | None:
        """The newest state that is not late; None when every one is."""
        return next((state for state in reversed(self.states) if not state.late), None)


class Doubt(msgspec.Struct, frozen=True, order=True):
    """Why the stream alone cannot give an account's state, since when, and where in the stream."""

    since_ms: int
    reason: str
    position: Position | None = None


class AccountHistory(msgspec.Struct, frozen=True, kw_only=True):
    """Everything known of an account. ``through`` is the last offset folded of each generation."""

    account: str
    items: dict[str, ItemHistory]
    doubts: tuple[Doubt, ...] = ()
    findings: tuple[Finding, ...] = ()

    def live(self, instant_ms: int | None = None) -> Iterator[tuple[ItemHistory, ItemState]]:
        """Items that exist at *instant_ms* (None: now), each with its state then."""
        for history in self.items.values():
            state = history.current if instant_ms is None else history.at(instant_ms)
            if state is not None and not state.deleted:
                yield history, state
