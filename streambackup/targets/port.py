"""Targets: where restored items go. A target creates; it never deletes or overwrites what is there.

One writer at a time: whoever calls ``ensure_folders``, ``put`` and ``sync`` holds the id map's
lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import msgspec

from streambackup.domain.entry import ItemType
from streambackup.domain.item import State

ID_MAP_PREFIX = "id_mapper-"
"""Files in a target's directory whose names begin so belong to restore, not to the target."""


class FolderPath(msgspec.Struct, frozen=True):
    """A folder to restore into: names from the top down, and its special use. No names: the top."""

    names: tuple[str, ...] = ()
    use: str | None = None

    def __str__(self) -> str:
        return "/".join(self.names)


class ContentError(Exception):
    """The content of an item cannot be had, for the ``reason``; a target lets it through."""

    def __init__(self, reason: Exception) -> None:
        super().__init__(str(reason))
        self.reason = reason


class Content(msgspec.Struct, frozen=True):
    """Content to be written, never held whole.

    Each call of ``pieces`` gives it from its beginning, and raises ContentError at last if it is
    not what ``digest`` says.
    """

    digest: str
    pieces: Callable[[], Iterator[bytes]]


class RestoredItem(msgspec.Struct, frozen=True, kw_only=True):
    """One item to bring back: its state as it was, its folder there, and its content.

    ``key`` (32 hex digits) names this state of this item of this store and no other; a target
    derives from it the name that it gives. ``account``, ``item`` and ``transaction`` say where it
    comes from.
    """

    key: str
    account: str
    item: str
    type: ItemType
    transaction: str
    state: State
    raw_state: dict[str, Any]
    folder: FolderPath
    content: Content | None


class Placed(msgspec.Struct, frozen=True):
    """An item at the target: its name there and the state fields that the target keeps, as ``read``
    will return them. ``left_out`` are the fields that it does not keep although the item has them.
    """

    name: str
    kept: dict[str, Any] = {}
    left_out: tuple[str, ...] = ()


class ReadBack(msgspec.Struct, frozen=True):
    """What a target holds under a name, its content as a digest."""

    digest: str | None
    kept: dict[str, Any]


class Target(Protocol):
    @property
    def place(self) -> str:
        """Where this target writes, for people."""
        ...

    @property
    def account(self) -> str:
        """The account restored into; it may be another than the items come from."""
        ...

    def ensure_folders(self, folders: Sequence[FolderPath]) -> int:
        """Create the folders that are missing and return how many were; durable on return.

        Raises:
            TargetError: the place is not one that this target can use.
        """
        ...

    def holds(self, name: str) -> bool:
        """Whether what ``put`` named so is still there, wherever the user moved it meanwhile, as
        far as the target can tell.
        """
        ...

    def put(self, item: RestoredItem) -> Placed:
        """Create the item. It is durable, and for others to see, after ``sync``; before, a crash
        leaves nothing of it. May be repeated: what stands there under the item's key with the same
        content is not created again.

        Raises:
            ItemRefusedError: this target cannot hold this item. TargetError: nothing can be
            written. ContentError: nothing of the item will be there.
        """
        ...

    def sync(self) -> None:
        """Make everything put so far durable and visible, complete or not at all for each item."""
        ...

    def read(self, name: str) -> ReadBack:
        """What ``put`` named so; for verification.

        Raises:
            TargetError: it is not there.
        """
        ...
