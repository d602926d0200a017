"""What the transactions of a source say that a mailbox holds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from streambackup.domain.entry import ItemType
from streambackup.domain.transaction import TransactionId
from streambackup.events.codec import check_typed_state
from streambackup.events.mailbox import Delete, FolderDelete, MailboxEvent, Put

Held = tuple[tuple[str, ...], tuple[str, ...], str]
"""A message: its folder's names from the top down, its flags, its digest."""


class Item(NamedTuple):
    type: ItemType
    state: dict[str, Any]
    digest: str | None


class MailboxView:
    """Folds transactions as they come, checking what every source owes: ids that never come with
    other content, no hole in the numbers, typed states, folders deleted only when empty.
    """

    def __init__(self) -> None:
        self.items: dict[str, dict[str, Item]] = {}
        self.history: list[MailboxEvent] = []
        self._seen: dict[tuple[str, TransactionId], MailboxEvent] = {}
        self._last: dict[str, int] = {}

    def add(self, events: Iterable[MailboxEvent]) -> None:
        for event in events:
            assert isinstance(event, Put | Delete | FolderDelete)
            id = TransactionId(event.source, event.incarnation, event.sequence)
            if (event.account, id) in self._seen:
                assert self._seen[event.account, id] == event
                continue
            self._seen[event.account, id] = event
            assert event.sequence == self._last.get(event.account, 0) + 1
            self._last[event.account] = event.sequence
            self.history.append(event)
            self._fold(event)

    def _fold(self, event: Put | Delete | FolderDelete) -> None:
        items = self.items.setdefault(event.account, {})
        if isinstance(event, Put):
            check_typed_state(event.type, event.state)
            before = items.get(event.item)
            assert (event.content is not None) == (
                event.digest is not None and (not before or before.digest != event.digest)
            )
            items[event.item] = Item(event.type, event.state, event.digest)
        elif isinstance(event, Delete):
            del items[event.item]
        else:
            inside = {item.state.get("folder", item.state.get("parent")) for item in items.values()}
            assert event.folder not in inside
            assert items.pop(event.folder).type == ItemType.FOLDER

    def folders(self, account: str) -> dict[tuple[str, ...], str]:
        """Item by names from the top down."""
        items = self.items.get(account, {})
        return {
            self.path(account, id): id for id, item in items.items() if item.type == ItemType.FOLDER
        }

    def path(self, account: str, folder: str | None) -> tuple[str, ...]:
        if folder is None:
            return ()
        state = self.items[account][folder].state
        return (*self.path(account, state.get("parent")), state["name"])

    def messages(self, account: str) -> dict[str, Held]:
        """What is held, by item."""
        return {
            id: (
                self.path(account, item.state["folder"]),
                tuple(sorted(item.state["flags"])),
                item.digest or "",
            )
            for id, item in self.items.get(account, {}).items()
            if item.type == ItemType.MESSAGE
        }
