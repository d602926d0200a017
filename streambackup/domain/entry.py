"""An entry: what the journal and the account logs keep of one run,
or of one transaction that cannot run on.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from streambackup.domain.transaction import Position, TransactionId

NEVER_SEEN = "never-seen"
"""Precondition of a transaction that holds only for an item nothing is known of."""


class ItemType(StrEnum):
    MESSAGE = "message"
    CONTACT = "contact"
    CONTACT_GROUP = "contact-group"
    FOLDER = "folder"
    APPOINTMENT = "appointment"
    TASK = "task"
    DOCUMENT = "document"
    ACCOUNT = "account"


class Operation(StrEnum):
    PUT = "put"
    DELETE = "delete"
    EMPTY_FOLDER = "empty-folder"
    FOLDER_DELETE = "folder-delete"
    ACCOUNT_DELETE = "account-delete"
    MARKER = "marker"


MANY_ITEM = frozenset({Operation.EMPTY_FOLDER, Operation.FOLDER_DELETE, Operation.ACCOUNT_DELETE})


class Member(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One transaction of an entry.

    Times in ms; ``checksum`` is its content checksum (docs/format.md).
    """

    id: TransactionId
    time_ms: int
    change: int | None
    offset: int
    published_ms: int
    checksum: int


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A run's transactions and the item's full state after the last of them.

    A many-item transaction names its folder in ``item``; a marker has its kind in ``marker`` and
    one member whose id is not a transaction's. Members stand in offset order.
    """

    generation: str
    partition: int
    account: str
    operation: Operation
    members: tuple[Member, ...]
    item: str = ""
    type: str = ""
    after: TransactionId | str | None = None
    digest: str | None = None
    size: int | None = None
    content: Position | None = None
    state: dict[str, Any] | None = None
    recursive: bool = False
    marker: str | None = None

    @property
    def plain_put(self) -> bool:
        return self.operation is Operation.PUT and self.after is None

    @property
    def offset(self) -> int:
        """Where the entry stands in its partition: its first member's offset."""
        return self.members[0].offset
