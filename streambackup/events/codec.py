"""Events to bytes and back. MessagePack by default, JSON accepted; the first byte tells which."""

from __future__ import annotations

import functools
import math
import re
from typing import Any

import msgspec

from streambackup.domain.digest import DIGEST_PATTERN, is_digest
from streambackup.domain.entry import ItemType
from streambackup.domain.item import STATE_TYPES
from streambackup.domain.transaction import (
    GENERATION_PATTERN,
    INCARNATION_PATTERN,
    SOURCE_PATTERN,
    Generation,
    TransactionId,
)
from streambackup.errors import InvalidEventError, newer_release
from streambackup.events.blob import BlobEvent
from streambackup.events.mailbox import (
    EVENT_BYTES_MAX,
    SCHEMA,
    STATE_DEPTH_MAX,
    AccountDelete,
    Delete,
    MailboxEvent,
    Marker,
    Precondition,
    Put,
)

REASON_LENGTH_MAX = 300
_TOO_DEEP = re.compile(rf"got `(object|array)` - at `\$\.state(\[[^]]*\]){{{STATE_DEPTH_MAX}}}`")

_JSON_OBJECT = b"{"
_MSGPACK_MAPS = {bytes([code]) for code in (*range(0x80, 0x90), 0xDE, 0xDF)}
_FLOAT64, _FLOAT32 = 0xCB, 0xCA
"""MessagePack's codes for floats: only an event with such a byte can hold NaN or infinity."""


_mailbox_from_msgpack = msgspec.msgpack.Decoder(MailboxEvent).decode
_mailbox_from_json = msgspec.json.Decoder(MailboxEvent).decode
_blob_from_msgpack = msgspec.msgpack.Decoder(BlobEvent).decode
_blob_from_json = msgspec.json.Decoder(BlobEvent).decode
_encoder = msgspec.msgpack.Encoder()
UNDECODABLE = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)
"""All that decoding foreign bytes may raise; the last two are no ``MsgspecError``."""


class _Peek(msgspec.Struct):
    schema: int


class _Stamp(msgspec.Struct):
    generation: Generation | None = None


_stamp_from_msgpack = msgspec.msgpack.Decoder(_Stamp).decode
_stamp_from_json = msgspec.json.Decoder(_Stamp).decode


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
    value = _bounded(value)
    json = value[:1] == _JSON_OBJECT
    try:
        event: MailboxEvent = _mailbox_from_json(value) if json else _mailbox_from_msgpack(value)
        _check_mailbox_event(event)
        if _FLOAT64 in value or _FLOAT32 in value:
            _refuse_non_finite(getattr(event, "state", None))
    except UNDECODABLE as error:
        raise InvalidEventError(_one_line(_reason(value, json, error))) from error
    return event


def encoded_stamp(generation: str) -> bytes:
    """What a MessagePack event that is stamped with *generation* has in it."""
    return _encoder.encode({"generation": generation})[1:]


def stamp_of(value: bytes) -> str | None:
    """The generation that an event names; None where it names none, or is no event."""
    json = value[:1] == _JSON_OBJECT
    try:
        stamped = (_stamp_from_json if json else _stamp_from_msgpack)(value).generation
        _check_names(stamped)
    except UNDECODABLE:
        return None
    return stamped


def decode_kept_event(value: bytes) -> MailboxEvent:
    """As ``decode_mailbox_event``, for what it has accepted before: half the work.

    Raises:
        StoreError: a newer release accepted it.
    """
    json = value[:1] == _JSON_OBJECT
    try:
        event: MailboxEvent = _mailbox_from_json(value) if json else _mailbox_from_msgpack(value)
    except UNDECODABLE as error:
        raise newer_release(f"an event ({error})") from error
    return event


def decode_blob_event(value: bytes | None) -> BlobEvent:
    """The event in a record of ``mailbox.blobs``. Raises InvalidEventError."""
    value = _bounded(value)
    json = value[:1] == _JSON_OBJECT
    try:
        event: BlobEvent = _blob_from_json(value) if json else _blob_from_msgpack(value)
        _check_blob_event(event)
    except UNDECODABLE as error:
        raise InvalidEventError(_one_line(_reason(value, json, error))) from error
    return event


def _bounded(value: bytes | None) -> bytes:
    if value is None:
        raise InvalidEventError("the record has no value")
    if len(value) > EVENT_BYTES_MAX:
        raise InvalidEventError(f"the record has {len(value)} bytes, more than {EVENT_BYTES_MAX}")
    return value


def _reason(value: bytes, json: bool, error: Exception) -> str:
    """Why *value* is not an event, naming a newer schema before anything that follows from it."""
    if not json and value[:1] not in _MSGPACK_MAPS:
        return "not an event: the value begins like neither a JSON object nor a MessagePack map"
    peek = msgspec.json.decode if json else msgspec.msgpack.decode
    try:
        schema = peek(value, type=_Peek).schema
    except UNDECODABLE:
        schema = SCHEMA
    if schema > SCHEMA:
        return f"schema {schema} is newer than {SCHEMA}, the newest this release knows"
    if isinstance(error, UnicodeDecodeError):
        return "not an event: a text in it is not UTF-8"
    if isinstance(error, RecursionError) or _TOO_DEEP.search(str(error)):
        return f"not an event: nested more than {STATE_DEPTH_MAX} deep"
    return f"not an event: {error}"


def _one_line(reason: str) -> str:
    """Fit for a terminal and a log, whatever the event made the decoder quote."""
    head = reason[:REASON_LENGTH_MAX]
    return "".join(character if character.isprintable() else "?" for character in head)


def _check_mailbox_event(event: MailboxEvent) -> None:
    """The patterns, which the decoder leaves to us. Names that pass may stand in paths."""
    if type(event) is Put:
        _check_names(event.generation, event.source, event.incarnation)
        digest = event.digest
        if digest is not None and not is_digest(digest):
            raise _not_a_digest(digest)
        if event.content is not None:
            _check_names(event.content.generation)
        if event.after is not None:
            _check_precondition(event.after)
    elif isinstance(event, Marker):
        _check_names(event.generation)
    else:
        _check_names(event.generation, event.source, event.incarnation)
        if isinstance(event, Delete | AccountDelete):
            _check_precondition(event.after)


def _check_blob_event(event: BlobEvent) -> None:
    _check_names(event.generation)
    if not is_digest(event.digest):
        raise _not_a_digest(event.digest)


def _check_precondition(after: Precondition | None) -> None:
    if after is not None and isinstance(after, TransactionId):
        _check_names(None, after.source, after.incarnation)


def _not_a_digest(digest: str) -> msgspec.ValidationError:
    return msgspec.ValidationError(f"the digest {digest!r} is not of the form {DIGEST_PATTERN}")


@functools.lru_cache(maxsize=1024)
def _check_names(generation: str | None, source: str = "", incarnation: str = "") -> None:
    """Streams name few of them again and again, so most cost a look-up only."""
    named = (
        ("generation", generation, GENERATION_PATTERN),
        ("source", source, SOURCE_PATTERN),
        ("incarnation", incarnation, INCARNATION_PATTERN),
    )
    for what, name, pattern in named:
        if name and not re.fullmatch(pattern, name):
            raise msgspec.ValidationError(f"the {what} {name!r} is not of the form {pattern}")


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
