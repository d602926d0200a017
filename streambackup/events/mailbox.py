"""What travels on ``mailbox.transactions``: transactions of one account, and markers.

The published contract is ``docs/events.md`` with ``docs/events.schema.json``; change it only
with a new schema number. Fields that this release does not know are skipped in the envelope and
kept in the state.
"""

from __future__ import annotations

from enum import StrEnum
from types import GenericAlias
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from streambackup.domain.digest import DIGEST_PATTERN
from streambackup.domain.entry import ItemType
from streambackup.domain.transaction import (
    Generation,
    Incarnation,
    Position,
    Source,
    TransactionId,
)

SCHEMA = 1
EVENT_BYTES_MAX = 900_000
"""An event with its key and headers stays below Kafka's default message limit of 1 MiB."""
STATE_DEPTH_MAX = 8

Account = Annotated[str, Meta(min_length=1, max_length=1024, description="The account's id.")]
Item = Annotated[
    str,
    Meta(min_length=1, max_length=1024, description="The item's id, unique within its account."),
]
Digest = Annotated[
    str,
    Meta(
        min_length=44,
        max_length=44,
        description="base64(SHA-256 of the content), `/` written `,`.",
        extra_json_schema={"pattern": DIGEST_PATTERN},
    ),
]
TimeMs = Annotated[int, Meta(ge=0, le=2**53, description="Milliseconds since 1970-01-01 UTC.")]
Count = Annotated[int, Meta(ge=0, le=2**53)]
Sequence = Annotated[
    int,
    Meta(
        ge=1,
        le=2**53,
        description="Counts the account's transactions from this source, from 1, without holes.",
    ),
]
Precondition = TransactionId | Literal["never-seen"]
"""The item's last transaction as its author knew it; the change has no effect where it is another.
"""


def _json_value(depth: int) -> Any:
    """What JSON can hold, nested at most *depth* deep; bin and ext fit none of its parts.

    Whole numbers stay within 64 bits: MessagePack holds no larger ones.
    """
    leaf = str | Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | float | bool | None
    if depth == 0:
        return leaf
    inner = _json_value(depth - 1)
    return leaf | GenericAlias(list, (inner,)) | GenericAlias(dict, (str, inner))


if TYPE_CHECKING:
    StateFields = dict[str, Any]
else:
    StateFields = GenericAlias(dict, (str, _json_value(STATE_DEPTH_MAX - 1)))


class MarkerKind(StrEnum):
    GENERATION_BEGIN = "generation-begin"
    GENERATION_END = "generation-end"
    SCAN_BEGIN = "scan-begin"
    SCAN_END = "scan-end"
    SCAN_DONE = "scan-done"
    PURGE = "purge"
    SWITCH = "switch"


class Event(
    msgspec.Struct, kw_only=True, frozen=True, gc=False, omit_defaults=True, tag_field="event"
):
    """What all events share.

    ``generation`` is the id of the topics it was meant for, stamped by our own sources.
    """

    schema: Annotated[int, Meta(ge=1, le=SCHEMA, description="Version of this contract.")]
    generation: Generation | None = None


class Transaction(Event, kw_only=True, frozen=True, gc=False, omit_defaults=True):
    """One change in one account; ``(source, incarnation, sequence)`` is its id.

    ``change`` is given only by sources whose numbers rise over an item's whole life.
    """

    account: Account
    source: Source
    incarnation: Incarnation
    sequence: Sequence
    time_ms: TimeMs
    change: Count | None = None


class Put(Transaction, kw_only=True, frozen=True, gc=False, omit_defaults=True, tag="put"):
    """An item is now in this state. ``content`` is where the bus holds what ``digest`` names."""

    item: Item
    type: ItemType
    state: StateFields
    digest: Digest | None = None
    size: Count | None = None
    content: Position | None = None
    after: Precondition | None = None


class Delete(Transaction, kw_only=True, frozen=True, gc=False, omit_defaults=True, tag="delete"):
    """An item is gone for good (moving to Trash is a put)."""

    item: Item
    after: Precondition | None = None


class EmptyFolder(
    Transaction, kw_only=True, frozen=True, gc=False, omit_defaults=True, tag="empty-folder"
):
    """Everything in a folder is gone; the author does not say what it was."""

    folder: Item
    recursive: bool = False


class FolderDelete(
    Transaction, kw_only=True, frozen=True, gc=False, omit_defaults=True, tag="folder-delete"
):
    """A folder is gone, with whatever is still in it and below it."""

    folder: Item


class AccountDelete(
    Transaction, kw_only=True, frozen=True, gc=False, omit_defaults=True, tag="account-delete"
):
    """The account is gone, with all its items."""

    after: Precondition | None = None


class Marker(Event, kw_only=True, frozen=True, gc=False, omit_defaults=True, tag="marker"):
    """A point in the stream that ends every run: of one account, or without one,
    of the whole partition.
    """

    kind: MarkerKind
    time_ms: TimeMs
    account: Account | None = None
    id: Annotated[str, Meta(max_length=128)] = ""


MailboxEvent = Put | Delete | EmptyFolder | FolderDelete | AccountDelete | Marker
