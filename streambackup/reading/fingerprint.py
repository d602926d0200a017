"""The fingerprint: a Merkle root over accounts, items and states, equal for stores with equal
histories.

Offsets, epochs, generations, publish times and places are left out: they differ between copies that
are the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec

from streambackup.domain.history import AccountHistory, ItemHistory, ItemState, canonical
from streambackup.reading.store_reader import StoreReader


class Difference(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where two stores first differ, as closely as it can be said."""

    account: str
    item: str | None = None
    transaction: str | None = None
    what: str = ""


def state_bytes(state: ItemState) -> bytes:
    """The canonical form of a state."""
    return canonical(
        {
            "start": state.start_ms,
            "end": state.end_ms,
            "deleted": state.deleted,
            "late": state.late,
            "transactions": [str(id) for id in state.transactions],
            "digest": state.digest,
            "type": state.type,
            "state": state.state,
        }
    )


def item_hash(history: ItemHistory) -> bytes:
    leaves = [hashlib.sha256(state_bytes(state)).digest() for state in history.states]
    return _node(history.item, leaves)


def account_hash(history: AccountHistory) -> bytes:
    return _node(
        history.account, [item_hash(history.items[item]) for item in sorted(history.items)]
    )


def _node(name: str, leaves: list[bytes]) -> bytes:
    whole = hashlib.sha256(canonical(name))
    for leaf in leaves:
        whole.update(leaf)
    return whole.digest()


def account_hashes(reader: StoreReader) -> dict[str, bytes]:
    """The hash of each account with any state."""
    return {
        history.account: account_hash(history) for history in reader.histories() if history.items
    }


def fingerprint(reader: StoreReader) -> str:
    """64 hex digits."""
    return root_of(account_hashes(reader))


def root_of(hashes: Mapping[str, bytes]) -> str:
    """The fingerprint of a store whose accounts have these *hashes*."""
    return _node("streambackup", [hashes[account] for account in sorted(hashes)]).hex()


def first_difference(a: StoreReader, b: StoreReader) -> Difference | None:
    """The first account, item and transaction in which two stores differ;
    None where they are equal.
    """
    hashes_a, hashes_b = account_hashes(a), account_hashes(b)
    for account in sorted(hashes_a.keys() | hashes_b.keys()):
        if account not in hashes_a or account not in hashes_b:
            holder = a if account in hashes_a else b
            return Difference(account, what=f"only {holder.root} has this account")
        if hashes_a[account] != hashes_b[account]:
            return _in_account(a.history(account), b.history(account))
    return None


def _in_account(a: AccountHistory, b: AccountHistory) -> Difference:
    for item in sorted(a.items.keys() | b.items.keys()):
        one, other = a.items.get(item), b.items.get(item)
        if one is None or other is None:
            which, only = ("second", other) if one is None else ("first", one)
            assert only is not None
            first = str(only.states[0].transactions[0])
            return Difference(a.account, item, first, f"only the {which} store has this item")
        if item_hash(one) != item_hash(other):
            return _in_item(a.account, one, other)
    return Difference(a.account, what="the accounts differ in no item")


def _in_item(account: str, a: ItemHistory, b: ItemHistory) -> Difference:
    for one, other in zip(a.states, b.states, strict=False):
        if state_bytes(one) != state_bytes(other):
            different = [
                name
                for name in ("start_ms", "end_ms", "deleted", "late", "digest", "type", "state")
                if canonical(getattr(one, name)) != canonical(getattr(other, name))
            ]
            what = f"states differ in {', '.join(different) or 'their transactions'}"
            return Difference(account, a.item, str(one.transactions[-1]), what)
    longer = a if len(a.states) > len(b.states) else b
    more = longer.states[min(len(a.states), len(b.states))]
    which = "first" if longer is a else "second"
    return Difference(
        account, a.item, str(more.transactions[-1]), f"only the {which} has this state"
    )
