"""Events to bytes and back. MessagePack by default, JSON accepted; the first byte tells which."""

from __future__ import annotations

import math
from types import GenericAlias
from typing import Any, TypeVar

import msgspec

from streambackup.domain.entry import ItemType
from streambackup.domain.item import STATE_TYPES
from streambackup.errors import InvalidEventError
from streambackup.events.blob import BlobEvent, Chunk, Reference
from streambackup.events.mailbox import EVENT_BYTES_MAX, SCHEMA, STATE_DEPTH_MAX, MailboxEvent

_JSON_OBJECT = b"{"
_NO_STATE: Any = None


def _json_value(depth: int) -> Any:
    """A type that admits what JSON can hold, nested at most *depth* deep; bin and ext fit none of
    its parts.
    """
    leaf = str | int | float | bool | None
    if depth == 0:
        return leaf
    inner: Any = _json_value(depth - 1)
    return leaf | GenericAlias(list, (inner,)) | GenericAlias(dict, (str, inner))


_StateValue: Any = GenericAlias(dict, (str, _json_value(STATE_DEPTH_MAX - 1)))

_mailbox_msgpack = msgspec.msgpack.Decoder(MailboxEvent)
_mailbox_json = msgspec.json.Decoder(MailboxEvent)
_blob_msgpack = msgspec.msgpack.Decoder(BlobEvent)
_blob_json = msgspec.json.Decoder(BlobEvent)
_state_msgpack: msgspec.msgpack.Decoder[dict[str, Any]] = msgspec.msgpack.Decoder(_StateValue)
_state_json: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(_StateValue)
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
        raw = getattr(event, "state", _NO_STATE)
        if raw is not None:
            decode_state(raw)
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


def decode_state(raw: bytes | msgspec.Raw) -> dict[str, Any]:
    """The state in *raw*, MessagePack or JSON.

    Raises:
        msgspec.ValidationError: it holds what JSON cannot (bin, ext, NaN, keys that are no strings)
        or is too deep.
    """
    data = bytes(raw)
    if data[:1] == _JSON_OBJECT:
        return _state_json.decode(data)
    state = _state_msgpack.decode(data)
    if b"\xcb" in data or b"\xca" in data:
        _refuse_non_finite(state)
    return state


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


__all__ = [
    "BlobEvent",
    "Chunk",
    "Reference",
    "check_typed_state",
    "decode_blob_event",
    "decode_mailbox_event",
    "decode_state",
    "encode_event",
]
