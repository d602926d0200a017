"""What a state of each kind of item holds.

A state is the item's full picture after a transaction, content apart. Unknown fields are kept as
they came; these types say what the known ones mean. Times are ms since the epoch, ``folder`` and
``parent`` are item ids.
"""

from __future__ import annotations

from typing import Any

import msgspec

from streambackup.domain.entry import ItemType


class MessageState(msgspec.Struct, kw_only=True):
    """A mail. Its content is the message as it is on the wire (RFC 5322)."""

    folder: str
    flags: list[str] = []
    tags: list[str] = []
    received_ms: int | None = None
    sent_ms: int | None = None
    sender: str | None = None
    recipients: list[str] = []
    subject: str | None = None
    message_id: str | None = None


class ContactState(msgspec.Struct, kw_only=True):
    """A contact. Its content is a vCard."""

    folder: str
    name: str | None = None
    emails: list[str] = []
    tags: list[str] = []


class ContactGroupState(msgspec.Struct, kw_only=True):
    """A contact group; ``members`` are item ids or addresses. Its content, if any, is a vCard."""

    folder: str
    name: str
    members: list[str] = []
    tags: list[str] = []


class FolderState(msgspec.Struct, kw_only=True):
    """A folder.

    ``parent`` is None at the top; ``use`` is its special use (``inbox``, ``sent``, ``trash``, ...).
    """

    name: str
    parent: str | None = None
    use: str | None = None
    color: str | None = None
    subscribed: bool | None = None


class AppointmentState(msgspec.Struct, kw_only=True):
    """A calendar entry. Its content is an iCalendar object."""

    folder: str
    uid: str | None = None
    summary: str | None = None
    start_ms: int | None = None
    end_ms: int | None = None
    tags: list[str] = []


class TaskState(msgspec.Struct, kw_only=True):
    """A task; all of it is in the state."""

    title: str
    folder: str | None = None
    description: str | None = None
    status: str | None = None
    priority: str | None = None
    due_ms: int | None = None


class DocumentState(msgspec.Struct, kw_only=True):
    """A file of the user's. Its content is the file's bytes."""

    name: str
    folder: str | None = None
    content_type: str | None = None
    modified_ms: int | None = None


class AccountState(msgspec.Struct, kw_only=True):
    """An account: everything needed to make it again.

    ``password_hash`` as the directory keeps it.
    """

    address: str
    display_name: str | None = None
    status: str | None = None
    password_hash: str | None = None
    signature: str | None = None
    preferences: dict[str, Any] = {}
    settings: dict[str, Any] = {}


State = (
    MessageState
    | ContactState
    | ContactGroupState
    | FolderState
    | AppointmentState
    | TaskState
    | DocumentState
    | AccountState
)

STATE_TYPES: dict[ItemType, type[State]] = {
    ItemType.MESSAGE: MessageState,
    ItemType.CONTACT: ContactState,
    ItemType.CONTACT_GROUP: ContactGroupState,
    ItemType.FOLDER: FolderState,
    ItemType.APPOINTMENT: AppointmentState,
    ItemType.TASK: TaskState,
    ItemType.DOCUMENT: DocumentState,
    ItemType.ACCOUNT: AccountState,
}

IGNORED_ATTRIBUTES_DEFAULT = ("activesync_state", "imap_state", "last_login_ms")
"""What no restore needs: top-level attributes that alone never make a new state."""
