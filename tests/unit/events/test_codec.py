"""What the codec takes, what it refuses, and what it says then."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given

from streambackup.domain.entry import ItemType
from streambackup.errors import InvalidEventError
from streambackup.events.blob import BLOB_BYTES_MAX, CHUNK_BYTES_MAX, BlobEvent, Chunk
from streambackup.events.codec import (
    REASON_LENGTH_MAX,
    check_typed_state,
    decode_blob_event,
    decode_mailbox_event,
    encode_event,
)
from streambackup.events.mailbox import EVENT_BYTES_MAX, MailboxEvent, Put
from tests.unit.events.cases import BREAKING, CHUNK, PUT, WITHIN_LIMITS
from tests.unit.events.strategies import blob_events, mailbox_events


def reason(value: bytes | None) -> str:
    with pytest.raises(InvalidEventError) as refused:
        decode_mailbox_event(value)
    return refused.value.message


def reason_of(**fields: object) -> str:
    """Why the put with these *fields* is refused, which both encodings must agree on."""
    packed = reason(msgspec.msgpack.encode(PUT | fields))
    assert reason(msgspec.json.encode(PUT | fields)) == packed
    return packed


def accepted(**fields: object) -> Put:
    event = decode_mailbox_event(msgspec.msgpack.encode(PUT | fields))
    assert event == decode_mailbox_event(msgspec.json.encode(PUT | fields))
    assert isinstance(event, Put)
    return event


@given(mailbox_events)
def test_a_mailbox_event_comes_back_from_either_encoding(event: MailboxEvent) -> None:
    assert decode_mailbox_event(encode_event(event)) == event
    assert decode_mailbox_event(msgspec.json.encode(event)) == event


@given(blob_events)
def test_a_blob_event_comes_back_from_either_encoding(event: BlobEvent) -> None:
    assert decode_blob_event(encode_event(event)) == event
    assert decode_blob_event(msgspec.json.encode(event)) == event


def test_fields_this_release_does_not_know_stay_in_the_state_and_are_skipped_beside_it() -> None:
    state = {"folder": "inbox", "importance": {"set_by": ["rule", 3, None]}}

    event = accepted(state=state, retention_class="gold")

    assert event.state == state
    assert not hasattr(event, "retention_class")


def test_an_optional_field_may_be_null() -> None:
    assert accepted(digest=None, size=None, content=None, after=None, generation=None) == accepted()


@pytest.mark.parametrize("fields", WITHIN_LIMITS)
def test_what_is_just_within_the_limits_is_taken(fields: dict[str, object]) -> None:
    assert msgspec.to_builtins(accepted(**fields)).items() >= fields.items()


@pytest.mark.parametrize(("fields", "why"), BREAKING)
def test_what_breaks_the_contract_is_refused_by_name(fields: dict[str, object], why: str) -> None:
    assert why in reason_of(**fields)


@pytest.mark.parametrize("missing", ["schema", "account", "source", "item", "state", "time_ms"])
def test_what_must_be_there_is_asked_for(missing: str) -> None:
    without = {name: value for name, value in PUT.items() if name != missing}

    assert f"missing required field `{missing}`" in reason(msgspec.json.encode(without))


@pytest.mark.parametrize(
    ("state", "why"),
    [
        ({"raw": b"\0"}, "got `bytes` - at `$.state[...]`"),
        ({"raw": msgspec.msgpack.Ext(1, b"")}, "got `ext` - at `$.state[...]`"),
        ({1: "x"}, "`key` in `$.state`"),
        ({"n": float("nan")}, "a number in the state is not finite"),
        ({"n": [{"m": float("inf")}]}, "a number in the state is not finite"),
        ({"n": 2**64 - 1}, "9223372036854775807"),
    ],
)
def test_a_state_holds_only_what_json_can(state: dict[Any, Any], why: str) -> None:
    assert why in reason(msgspec.msgpack.encode(PUT | {"state": state}))


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (None, "the record has no value"),
        (b"", "begins like neither a JSON object nor a MessagePack map"),
        (b"[]", "begins like neither"),
        (b"\xef\xbb\xbf{}", "begins like neither"),
        (b"\n{}", "begins like neither"),
        (b"hello", "begins like neither"),
        (b"{", "truncated"),
        (b"{}", "missing required field `event`"),
        (b"\x80", "missing required field `event`"),
        (json.dumps(PUT).encode() + b"{}", "trailing characters"),
        (msgspec.msgpack.encode(PUT) + b"\0", "trailing characters"),
        (json.dumps(PUT).replace("inbox", "\xff").encode("latin-1"), "a text in it is not UTF-8"),
        (json.dumps(PUT).replace('"inbox"', "1e999").encode(), "out of range"),
        (json.dumps(PUT).replace('"inbox"', "9" * 9000).encode(), "$.state"),
        (json.dumps(PUT | {"state": {"n": -(2**63) - 1}}).encode(), "-9223372036854775808"),
        (json.dumps(PUT | {"after": ["a", "00c0ffee", 2**70]}).encode(), "$.after"),
        (json.dumps(PUT).replace('"inbox"', "NaN").encode(), "malformed"),
        (b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested more than 8 deep"),
        (b"\x81\xa1x" + b"\x91" * 100_000 + b"\xc0", "nested more than 8 deep"),
    ],
)
def test_bytes_that_are_no_event_are_refused_by_name(value: bytes | None, why: str) -> None:
    assert why in reason(value)


def test_a_reason_fits_one_line_whatever_the_event_says() -> None:
    said = reason_of(type="\x1b[31m\n" * 10_000)

    assert len(said) <= REASON_LENGTH_MAX
    assert said.isprintable()


def test_an_event_may_have_900_000_bytes_and_no_more() -> None:
    frame = len(msgspec.json.encode(PUT | {"state": {"folder": ""}}))
    full = PUT | {"state": {"folder": "x" * (EVENT_BYTES_MAX - frame)}}

    assert len(msgspec.json.encode(full)) == EVENT_BYTES_MAX
    assert isinstance(decode_mailbox_event(msgspec.json.encode(full)), Put)
    assert "900001 bytes, more than 900000" in reason(msgspec.json.encode(full) + b" ")


def test_an_event_too_large_for_the_bus_is_not_encoded() -> None:
    large = accepted(state={"folder": "x" * 890_000})
    larger = msgspec.structs.replace(large, state={"folder": "x" * EVENT_BYTES_MAX})

    assert len(encode_event(large)) < EVENT_BYTES_MAX
    with pytest.raises(InvalidEventError, match="at most 900000 are allowed"):
        encode_event(larger)


def test_the_largest_chunk_fits_in_either_encoding() -> None:
    data = bytes(range(256)) * (CHUNK_BYTES_MAX // 256)
    chunk = CHUNK | {"total": BLOB_BYTES_MAX, "data": data}

    for encoded in (msgspec.msgpack.encode(chunk), msgspec.json.encode(chunk)):
        event = decode_blob_event(encoded)
        assert isinstance(event, Chunk)
        assert event.data == data


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"data": b"x" * (CHUNK_BYTES_MAX + 1)}, "length <= 524288 - at `$.data`"),
        ({"total": BLOB_BYTES_MAX + 1}, "$.total"),
        ({"offset": -1}, "$.offset"),
        ({"upload": ""}, "$.upload"),
        ({"upload": "u" * 65}, "$.upload"),
        ({"digest": "../" * 14 + "=="}, "the digest '../"),
        ({"event": "put"}, "put"),
        ({"schema": 3}, "schema 3 is newer than 1"),
    ],
)
def test_a_chunk_that_breaks_the_contract_is_refused(fields: dict[str, object], why: str) -> None:
    for encoded in (msgspec.msgpack.encode(CHUNK | fields), msgspec.json.encode(CHUNK | fields)):
        with pytest.raises(InvalidEventError) as refused:
            decode_blob_event(encoded)
        assert why in refused.value.message


def test_the_data_of_a_chunk_in_json_is_base64() -> None:
    text = json.dumps(CHUNK | {"total": 5, "data": "aGVsbG8="}).encode()

    event = decode_blob_event(text)

    assert isinstance(event, Chunk)
    assert event.data == b"hello"


def test_a_typed_state_may_know_more_and_must_not_contradict() -> None:
    check_typed_state(ItemType.MESSAGE, {"folder": "inbox", "importance": 3})

    with pytest.raises(InvalidEventError, match=r"message state is not valid: .*`\$.flags`"):
        check_typed_state(ItemType.MESSAGE, {"folder": "inbox", "flags": "seen"})
    with pytest.raises(InvalidEventError, match="missing required field `folder`"):
        check_typed_state(ItemType.MESSAGE, {})
