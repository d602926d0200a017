"""Histories as they are shown: each state complete by itself, with where its content lies."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from streambackup.blobs.loose import LooseBlobs
from streambackup.domain.entry import ItemType
from streambackup.domain.history import AccountHistory, ItemHistory, ItemState
from streambackup.domain.instant import format_instant
from streambackup.domain.transaction import TransactionId
from streambackup.reading.contents import Contents, Standing
from streambackup.reading.store_reader import StoreReader


class ShownState(msgspec.Struct, frozen=True, kw_only=True):
    """A state for people and programs. Times are ISO 8601 in UTC; ``end`` None is until now.

    ``blob`` is the path of the content below the backup path, where it is stored.
    """

    item: str
    type: str
    start: str
    end: str | None
    deleted: bool
    late: bool
    transactions: tuple[str, ...]
    digest: str | None
    size: int | None
    content: Standing
    blob: str | None
    state: dict[str, Any]


class ShownDoubt(msgspec.Struct, frozen=True, kw_only=True):
    """Why the stream alone cannot say how an account is."""

    since: str
    reason: str


class ShownAccount(msgspec.Struct, frozen=True, kw_only=True):
    """An account in short. ``items`` counts what exists by type, ``state`` is the account's own."""

    account: str
    items: dict[str, int]
    deleted_items: int
    first: str | None
    last: str | None
    in_doubt: list[ShownDoubt]
    findings: list[str]
    state: dict[str, Any] | None


class Shower:
    """Shows what *reader* found. Blocking."""

    def __init__(self, reader: StoreReader) -> None:
        self._root = reader.root
        self._contents = Contents(reader)
        self._blobs = LooseBlobs(reader.root)

    def state(self, item: str, state: ItemState) -> ShownState:
        """*state* of *item*, complete by itself."""
        standing = self._contents.standing(state)
        stored = standing is Standing.STORED and state.digest is not None
        return ShownState(
            item=item,
            type=state.type,
            start=format_instant(state.start_ms),
            end=None if state.end_ms is None else format_instant(state.end_ms),
            deleted=state.deleted,
            late=state.late,
            transactions=tuple(str(id) for id in state.transactions),
            digest=state.digest,
            size=state.size,
            content=standing,
            blob=self._path(state.digest) if stored and state.digest else None,
            state=state.state,
        )

    def history(self, item: ItemHistory) -> list[ShownState]:
        """Every state of *item*, in stream order."""
        return [self.state(item.item, state) for state in item.states]

    def _path(self, digest: str) -> str:
        return str(self._blobs.path_of(digest).relative_to(self._root))


def account_item(history: AccountHistory) -> ItemHistory | None:
    """The item that is the account itself; None where nothing was said of it."""
    own = history.items.get(history.account)
    if own is not None:
        return own
    accounts = (i for i in history.items.values() if i.states[-1].type == ItemType.ACCOUNT)
    return next(accounts, None)


def show_account(history: AccountHistory, at_ms: int | None) -> ShownAccount:
    """*history* in short, as of an instant or now."""
    live = list(history.live(at_ms))
    starts = [
        [s.start_ms for s in item.states if at_ms is None or s.start_ms <= at_ms]
        for item in history.items.values()
    ]
    seen = [of_item for of_item in starts if of_item]
    own = account_item(history)
    current = own and (own.current if at_ms is None else own.at(at_ms))
    return ShownAccount(
        account=history.account,
        items=dict(sorted(Counter(state.type for _, state in live).items())),
        deleted_items=len(seen) - len(live),
        first=_instant(min(map(min, seen), default=None)),
        last=_instant(max(map(max, seen), default=None)),
        in_doubt=[
            ShownDoubt(since=format_instant(doubt.since_ms), reason=doubt.reason)
            for doubt in history.doubts
        ],
        findings=[finding.what for finding in history.findings],
        state=current.state if current else None,
    )


def explain_run(state: ItemState, wanted: TransactionId | None) -> str | None:
    """What has to be said where *wanted* was recorded together with later ones."""
    if wanted is None or wanted not in state.transactions or wanted == state.transactions[-1]:
        return None
    return (
        f"{wanted} was recorded together with the transactions after it: "
        f"this is the state after {state.transactions[-1]}"
    )


def _instant(time_ms: int | None) -> str | None:
    return None if time_ms is None else format_instant(time_ms)
