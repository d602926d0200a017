"""Folding a short stream under every split into batches, and telling the outcome briefly."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

from streambackup.domain.history import AccountHistory
from streambackup.testing.epochs import fold_records
from streambackup.testing.events import ACCOUNT, TIME_MS, PartitionLog


class Told(NamedTuple):
    """A state: sequences of its transactions, its ``flags``, its start in ms from TIME_MS."""

    sequences: tuple[int, ...]
    flags: Any
    start: int = 0
    note: str = ""


def fold_every_split(
    log: PartitionLog, *, account: str = ACCOUNT, **settings: Any
) -> AccountHistory:
    """The account's history, which has to be the same whatever the batches."""
    inner = [record.offset for record in log.records[1:]]
    splits = itertools.chain.from_iterable(
        itertools.combinations(inner, size) for size in range(len(inner) + 1)
    )
    folded = [fold_records(log.records, cuts, account=account, **settings) for cuts in splits]
    for other in folded:
        assert other == folded[0]
    return folded[0]


def tell(history: AccountHistory, item: str = "m") -> list[Told]:
    """The states of *item*."""
    return [
        Told(
            tuple(id.sequence for id in state.transactions),
            state.state.get("flags"),
            state.start_ms - TIME_MS,
            "late" if state.late else "deleted" if state.deleted else "",
        )
        for state in history.items[item].states
    ]


def told(log: PartitionLog, item: str = "m") -> list[Told]:
    """The states of *item* after *log*, the same under every split."""
    return tell(fold_every_split(log), item)
