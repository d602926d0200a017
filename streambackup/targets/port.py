"""Targets: where restored items go. A target creates; it never deletes or overwrites what is there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from streambackup.domain.entry import ItemType
from streambackup.domain.item import State


class FolderPath(msgspec.Struct, frozen=True):
    """A folder to restore into: names from the top down, and its special use."""

    names: tuple[str, ...]
    use: str | None = None


class RestoredItem(msgspec.Struct, frozen=True, kw_only=True):
    """One item to bring back: its state as it was, its folder there, and its verified content."""

    account: str
    item: str
    type: ItemType
    state: State
    raw_state: dict[str, object]
    folder: FolderPath
    content: bytes | None


class Target(Protocol):
    @property
    def place(self) -> str:
        """Where this target writes, for the report and the id map."""
        ...

    def ensure_folders(self, folders: Sequence[FolderPath]) -> None:
        """Create the folders that are missing, parents first. May be repeated."""
        ...

    def put(self, item: RestoredItem) -> str:
        """Create the item and return its name at the target; durable after ``sync``.

        Raises:
            ItemRefusedError: this target cannot hold this item. TargetError: nothing can be
            written.
        """
        ...

    def sync(self) -> None:
        """Make everything put so far durable."""
        ...

    def read(self, name: str) -> tuple[bytes | None, State | None]:
        """Content and state of what ``put`` named, as far as the target keeps them; for
        verification.

        Raises:
            TargetError: it is not there.
        """
        ...
