"""A line of JSON that someone publishes, to what it means. Reads the file it names, nothing else.

A line either leaves the transaction's id to us, or is a whole event of docs/events.md with an id of
its own; a ``source`` tells the two apart. Both may name a ``file`` that holds the content.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from streambackup.domain.digest import digest_name
from streambackup.domain.entry import ItemType
from streambackup.domain.instant import parse_instant
from streambackup.domain.transaction import Position
from streambackup.errors import InvalidEventError, UsageError
from streambackup.events.blob import BLOB_BYTES_MAX
from streambackup.events.codec import (
    UNDECODABLE,
    check_typed_state,
    decode_mailbox_event,
    encode_event,
)
from streambackup.events.mailbox import (
    SCHEMA,
    AccountDelete,
    Delete,
    FolderDelete,
    MailboxEvent,
    Put,
)
from streambackup.sources.port import Content, Observation

LINE_BYTES_MAX = 4 * 1024 * 1024
_LONGEST_ID = "0" * 32
_LONGEST_GENERATION = "0" * 16
_LONGEST_DIGEST = "A" * 43 + "="

Operation = Literal["put", "delete", "folder-delete", "account-delete"]


class ShortLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A line without an id. ``time`` is ISO 8601, ``time_ms`` ms since 1970; now where neither."""

    account: str
    event: Operation = "put"
    item: str = ""
    type: ItemType | None = None
    state: dict[str, Any] | None = None
    file: str | None = None
    time: str | None = None
    time_ms: int | None = None


class OwnEvent(msgspec.Struct, frozen=True):
    """A whole event, and the content that has to be on the bus before it."""

    event: MailboxEvent
    content: Content | None


def read_line(line: bytes, *, folder: Path, now_ms: int) -> Observation | OwnEvent:
    """What *line* publishes; ``file`` is looked up in *folder*. Blocking: it hashes the file.

    Raises:
        InvalidEventError: the line breaks the contract, or its file cannot be read; the message is
            one line.
    """
    if len(line) > LINE_BYTES_MAX:
        raise InvalidEventError(f"the line has more than {LINE_BYTES_MAX} bytes")
    try:
        fields = msgspec.json.decode(line, type=dict[str, Any])
    except UNDECODABLE as error:
        raise InvalidEventError(f"not a JSON object: {error}") from error
    try:
        if "source" in fields:
            return _own_event(fields, folder)
        return _observation(fields, folder, now_ms)
    except OverflowError as error:  # JSON has such numbers, an event does not.
        raise InvalidEventError("a whole number in it does not fit into 64 bits") from error


def _observation(fields: dict[str, Any], folder: Path, now_ms: int) -> Observation:
    try:
        short = msgspec.convert(fields, ShortLine)
    except msgspec.ValidationError as error:
        hint = "give source, incarnation and sequence" if _is_own_kind(fields) else None
        raise InvalidEventError(f"{error}; {hint}" if hint else str(error)) from error
    if short.event == "account-delete" and (short.item or short.file):
        raise InvalidEventError("an account-delete names no item and no file")
    if short.event != "account-delete" and not short.item:
        raise InvalidEventError(f"a {short.event} needs an item")
    if short.event != "put" and (short.state is not None or short.file is not None):
        raise InvalidEventError(f"a {short.event} has no state and no file")
    if short.event == "put" and (short.type is None or short.state is None):
        raise InvalidEventError("a put needs a type and a state")
    if short.type is not None and short.state is not None:
        check_typed_state(short.type, short.state)
    time_ms = _time_of(short, now_ms)
    _check_as_event(short, time_ms)
    return Observation(
        account=short.account,
        time_ms=time_ms,
        operation=short.event,
        item=short.item,
        type=short.type,
        state=short.state or {},
        content=None if short.file is None else _content(folder / short.file),
    )


def _is_own_kind(fields: Mapping[str, Any]) -> bool:
    """Whether only a line with an id of its own can say this."""
    return fields.get("event") in ("empty-folder", "marker") or "after" in fields


def _time_of(short: ShortLine, now_ms: int) -> int:
    if short.time_ms is not None:
        return short.time_ms
    if short.time is None:
        return now_ms
    try:
        return parse_instant(short.time, now_ms=now_ms).time_ms
    except UsageError as error:
        raise InvalidEventError(f"time: {error.message}") from error


def _check_as_event(short: ShortLine, time_ms: int) -> None:
    """That what the outbox will make of the line, at its longest, is what every reader takes."""
    common: dict[str, Any] = {
        "schema": SCHEMA,
        "account": short.account,
        "source": "publish",
        "incarnation": _LONGEST_ID,
        "generation": _LONGEST_GENERATION,
        "sequence": 1,
        "time_ms": time_ms,
    }
    event: MailboxEvent
    if short.event == "put":
        assert short.type is not None
        assert short.state is not None
        event = Put(
            **common,
            item=short.item,
            type=short.type,
            state=short.state,
            digest=_LONGEST_DIGEST,
            size=BLOB_BYTES_MAX,
            content=Position(_LONGEST_GENERATION, 2**31 - 1, 2**53),
        )
    elif short.event == "delete":
        event = Delete(**common, item=short.item)
    elif short.event == "folder-delete":
        event = FolderDelete(**common, folder=short.item)
    else:
        event = AccountDelete(**common)
    decode_mailbox_event(encode_event(event))


def _own_event(fields: dict[str, Any], folder: Path) -> OwnEvent:
    file = fields.pop("file", None)
    if file is not None and not isinstance(file, str):
        raise InvalidEventError("file has to be the name of a file")
    event = decode_mailbox_event(msgspec.json.encode({"schema": SCHEMA, **fields}))
    if event.account is None:
        raise InvalidEventError("the event names no account")
    if not isinstance(event, Put):
        if file is not None:
            raise InvalidEventError("only a put has a file")
        return OwnEvent(event, None)
    check_typed_state(event.type, event.state)
    if file is not None:
        content = _content(folder / file)
        if event.digest not in (None, content.digest):
            raise InvalidEventError(f"{file} is {content.digest}, not the digest named")
        return OwnEvent(event, content)
    if event.digest is None or event.content is not None:
        return OwnEvent(event, None)
    if event.size is None:
        raise InvalidEventError("a digest needs its size, or a file")
    return OwnEvent(event, Content(event.digest, event.size, Path()))


def _content(path: Path) -> Content:
    try:
        if not path.is_file():
            raise InvalidEventError(f"file {path} does not exist, or is none")
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").digest()
            return Content(digest_name(sha256), file.tell(), path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InvalidEventError(f"file {path}: {reason}") from error
