"""Events to bytes and back. MessagePack by default, JSON accepted; the first byte tells which."""

from __future__ import annotations

import math
from typing import Any, TypeVar

import msgspec

from streambackup.domain.entry import ItemType
from streambackup.domain.item import STATE_TYPES
from streambackup.errors import InvalidEventError
from streambackup.events.blob import BlobEvent
from streambackup.events.mailbox import EVENT_BYTES_MAX, SCHEMA, MailboxEvent

_JSON_OBJECT = b"{"
_FLOAT64, _FLOAT32 = b"\xcb", b"\xca"
"""MessagePack's codes for floats: only an event with such a byte can hold NaN or infinity."""


_mailbox_msgpack = msgspec.msgpack.Decoder(MailboxEvent)
_mailbox_json = msgspec.json.Decoder(MailboxEvent)
_blob_msgpack = msgspec.msgpack.Decoder(BlobEvent)
_blob_json = msgspec.json.Decoder(BlobEvent)
_encoder = msgspec.msgpack.Encoder()

_T = TypeVar("_T")


class _Peek(msgspec.Struct):
    schema: int


def encode_event(event: MailboxEvent | BlobEvent) -> bytes:
    """MessagePack bytes of *event*.

    Raises:
        InvalidEventError: larger than any event may be.
    """
    value = _encoder.encode(event)
    if len(value) > EVENT_BYTES_MAX:
        raise InvalidEventError(
            f"the event has {len(value)} bytes, at most {EVENT_BYTES_MAX} are allowed",
            hint="Content belongs into chunks, not into the state.",
        )
    return value


def decode_mailbox_event(value: bytes | None) -> MailboxEvent:
    """The event in a record of ``mailbox.transactions``; its state is checked to hold only what
    JSON can.

    Raises:
        InvalidEventError: with the reason that goes into the quarantine.
    """
    event: MailboxEvent = _decode(value, _mailbox_msgpack.decode, _mailbox_json.decode)
    return event


def decode_blob_event(value: bytes | None) -> BlobEvent:
    """The event in a record of ``mailbox.blobs``. Raises InvalidEventError."""
    event: BlobEvent = _decode(value, _blob_msgpack.decode, _blob_json.decode)
    return event


def _decode(value: bytes | None, from_msgpack: Any, from_json: Any) -> Any:
    if value is None:
        raise InvalidEventError("the record has no value")
    if len(value) > EVENT_BYTES_MAX:
        raise InvalidEventError(f"the record has {len(value)} bytes, more than {EVENT_BYTES_MAX}")
    json = value[:1] == _JSON_OBJECT
    try:
        event = from_json(value) if json else from_msgpack(value)
        if _FLOAT64 in value or _FLOAT32 in value:
            _refuse_non_finite(getattr(event, "state", None))
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidEventError(_reason(value, json, error)) from error
    return event


def _reason(value: bytes, json: bool, error: Exception) -> str:
    """Why *value* is not an event, naming a newer schema before anything that follows from it."""
    peek = msgspec.json.decode if json else msgspec.msgpack.decode
    try:
        schema = peek(value, type=_Peek).schema
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return f"not an event: {error}"
    if schema > SCHEMA:
        return f"schema {schema} is newer than {SCHEMA}, the newest this release knows"
    return f"not an event: {error}"


def _refuse_non_finite(value: Any) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise msgspec.ValidationError("a number in the state is not finite")
    if isinstance(value, dict):
        for inner in value.values():
            _refuse_non_finite(inner)
    elif isinstance(value, list):
        for inner in value:
            _refuse_non_finite(inner)


def check_typed_state(item_type: ItemType, state: dict[str, Any]) -> None:
    """That the known fields of *state* have their types; unknown ones pass.

    Raises:
        InvalidEventError: naming the field.
    """
    try:
        msgspec.convert(state, STATE_TYPES[item_type])
    except msgspec.ValidationError as error:
        raise InvalidEventError(f"the {item_type} state is not valid: {error}") from error
