"""A state as the model and the fold can both say it, so that they can be compared."""

from __future__ import annotations

from typing import Any, NamedTuple

from streambackup.domain.history import AccountHistory
from streambackup.domain.transaction import TransactionId


class ModelState(NamedTuple):
    """One state of an item, in what a user can see of it."""

    start_ms: int
    end_ms: int | None
    deleted: bool
    late: bool
    transactions: tuple[TransactionId, ...]
    type: str
    digest: str | None
    state: dict[str, Any]


def seen_by_user(history: AccountHistory) -> dict[str, list[ModelState]]:
    """What the fold made, in the model's words."""
    return {
        name: [
            ModelState(
                state.start_ms,
                state.end_ms,
                state.deleted,
                state.late,
                state.transactions,
                state.type,
                state.digest,
                state.state,
            )
            for state in item.states
        ]
        for name, item in history.items.items()
    }
