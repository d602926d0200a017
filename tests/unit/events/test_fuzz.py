"""Whatever stands in a record: an event that the store can keep, or a reason for the quarantine."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from streambackup.errors import InvalidEventError
from streambackup.events.codec import decode_blob_event, decode_mailbox_event, encode_event
from streambackup.events.mailbox import MailboxEvent
from streambackup.journal.content_checksum import content_checksum
from streambackup.journal.line import Line
from streambackup.metadata.account_log import decode_lines, encode_line
from tests.unit.events.strategies import blob_events, mailbox_events

_keys = st.integers(0, 3) | st.text(max_size=3)
anything: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=8)
    | st.builds(msgspec.msgpack.Ext, st.integers(-128, 127), st.binary(max_size=12)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=3),
    max_leaves=8,
)
_events = (mailbox_events | blob_events).map(msgspec.to_builtins)


@st.composite
def almost_events(draw: st.DrawFn) -> dict[str, Any]:
    """An event with one of its fields, or another one, replaced by anything."""
    event = dict(draw(_events))
    name = draw(st.sampled_from(sorted(event)) | st.text(max_size=5))
    return event | {name: draw(anything)}


@st.composite
def torn_events(draw: st.DrawFn) -> bytes:
    """An encoded event of which some bytes were changed, lost or put in."""
    event = draw(mailbox_events | blob_events)
    whole = draw(st.sampled_from([encode_event(event), msgspec.json.encode(event)]))
    at = draw(st.integers(0, len(whole)))
    end = draw(st.integers(at, min(len(whole), at + 4)))
    return whole[:at] + draw(st.binary(max_size=4)) + whole[end:]


def survives(value: bytes) -> None:
    """Both decoders take *value* or refuse it; what was taken can be journalled and filed."""
    with contextlib.suppress(InvalidEventError):
        decode_blob_event(value)
    with contextlib.suppress(InvalidEventError):
        check_kept(decode_mailbox_event(value))


def check_kept(event: MailboxEvent) -> None:
    line = Line("0123456789abcdef", 0, 1, 2, event)

    (back,) = decode_lines(encode_line(line))

    assert isinstance(back, Line)
    assert content_checksum(back.event) == content_checksum(event)
    assert decode_mailbox_event(encode_event(event)) == event


@given(st.binary(max_size=200) | st.binary(max_size=50).map(b"{".__add__))
def test_any_bytes(value: bytes) -> None:
    survives(value)


@given(almost_events())
def test_any_field(value: dict[str, Any]) -> None:
    survives(msgspec.msgpack.encode(value))


@given(torn_events())
def test_any_damage(value: bytes) -> None:
    survives(value)


@given(st.text(max_size=200).map("{".__add__))
def test_any_text(value: str) -> None:
    survives(value.encode())


@given(mailbox_events)
def test_what_is_valid_is_kept(event: MailboxEvent) -> None:
    check_kept(event)
