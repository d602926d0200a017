"""The published contract: its schema, its page and the codec all say the same."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from hypothesis import given

from streambackup.domain.digest import digest_of
from streambackup.domain.entry import ItemType
from streambackup.domain.item import STATE_TYPES
from streambackup.events.blob import BlobEvent, Chunk
from streambackup.events.codec import check_typed_state, decode_blob_event, decode_mailbox_event
from streambackup.events.config import Generation
from streambackup.events.mailbox import MailboxEvent, MarkerKind, Put
from streambackup.events.notice import Notice
from streambackup.events.schema import event_schema
from tests.tidy.tree import ROOT
from tests.unit.events.cases import BREAKING, CHUNK, PUT, WITHIN_LIMITS
from tests.unit.events.strategies import blob_events, mailbox_events

DOCS = ROOT / "docs"
PAGE = (DOCS / "events.md").read_text()
BLOB_KINDS = {"chunk", "reference"}
EVENT_TYPES = [*MailboxEvent.__args__, *BlobEvent.__args__, Notice]
STATED_IN_WORDS = {"nested more than 8 deep", "`$.state[...]`"}
"""What JSON Schema cannot say of a state; its description does."""

validator = jsonschema_rs.validator_for(event_schema())


def complaints(value: object) -> list[str]:
    return [error.message for error in validator.iter_errors(value)]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


EXAMPLES = [value for value in map(json.loads, blocks("json")) if "event" in value]


def decode(example: dict[str, Any]) -> MailboxEvent | BlobEvent | Notice:
    value = json.dumps(example).encode()
    if example["event"] == "set-aside":
        return msgspec.json.decode(value, type=Notice)
    if example["event"] in BLOB_KINDS:
        return decode_blob_event(value)
    return decode_mailbox_event(value)


def test_the_schema_is_one() -> None:
    assert jsonschema_rs.meta.is_valid(event_schema())


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: f"{e['event']}-{e.get('type', '')}")
def test_every_example_of_the_page_is_valid_and_means_what_it_says(example: dict[str, Any]) -> None:
    assert complaints(example) == []

    event = decode(example)

    assert (
        msgspec.to_builtins(event).items()
        >= {name: value for name, value in example.items() if name != "data"}.items()
    )
    if isinstance(event, Put):
        check_typed_state(event.type, event.state)


def test_the_page_has_an_example_of_every_event_and_every_kind_of_item() -> None:
    events = [decode(example) for example in EXAMPLES]

    assert {type(event) for event in events} == set(EVENT_TYPES)
    assert {event.type for event in events if isinstance(event, Put)} == set(ItemType)


def test_the_page_names_every_field() -> None:
    fields = {name for kind in EVENT_TYPES for name in kind.__struct_fields__}
    fields |= {name for state in STATE_TYPES.values() for name in state.__struct_fields__}
    fields |= set(MarkerKind)

    assert [name for name in sorted(fields) if f"`{name}`" not in PAGE] == []


def test_the_page_tells_required_fields_of_states_from_optional_ones() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \| (`[^|]+) \| ([^|]+) \| [^|]+ \|$", PAGE, re.MULTILINE)
    said = {
        item_type: ([*re.findall(r"`(\w+)`", required)], [*re.findall(r"`(\w+)`", optional)])
        for item_type, required, optional in rows
    }

    meant = {}
    for item_type, state in STATE_TYPES.items():
        fields = msgspec.structs.fields(state)
        meant[str(item_type)] = (
            [field.name for field in fields if field.required],
            [field.name for field in fields if not field.required],
        )
    assert said == meant


def test_the_generation_on_the_page_is_one() -> None:
    (example,) = [block for block in blocks("json") if '"event"' not in block]

    assert msgspec.json.decode(example, type=Generation).state == "open"


def test_chunks_on_the_page_have_the_digest_they_are_sent_under() -> None:
    chunks = [event for event in map(decode, EXAMPLES) if isinstance(event, Chunk)]

    assert [digest_of(chunk.data) for chunk in chunks] == [chunk.digest for chunk in chunks]
    assert [len(chunk.data) for chunk in chunks] == [chunk.total for chunk in chunks]


def program() -> dict[str, Any]:
    """The functions of the page's program."""
    names: dict[str, Any] = {}
    exec(blocks("python")[0], names)
    return names


def test_the_program_on_the_page_publishes_its_first_put_and_the_content_before_it() -> None:
    first = next(event for event in map(decode, EXAMPLES) if isinstance(event, Put))
    content = next(
        base64.b64decode(e["data"])
        for e in EXAMPLES
        if e.get("digest") == first.digest and "data" in e
    )
    sent: list[tuple[str, bytes, bytes]] = []

    def send(topic: str, key: bytes, value: bytes) -> tuple[int, int]:
        sent.append((topic, key, value))
        return (25, 4711) if topic == "mailbox.blobs" else (12, 1)

    program()["send_message"](
        send,
        content,
        generation=first.generation,
        account=first.account,
        id=(first.source, first.incarnation, first.sequence),
        item=first.item,
        state=first.state,
        time_ms=first.time_ms,
    )

    (blob_topic, digest, chunk), (topic, account, put) = sent
    assert (blob_topic, digest.decode()) == ("mailbox.blobs", first.digest)
    assert (topic, account.decode()) == ("mailbox.transactions", first.account)
    sent_chunk = decode_blob_event(chunk)
    assert isinstance(sent_chunk, Chunk)
    assert sent_chunk.data == content
    assert decode_mailbox_event(put) == first


def test_the_program_on_the_page_cuts_long_content() -> None:
    values: list[bytes] = []
    content = b"0123456789" * 120_000

    def send(topic: str, key: bytes, value: bytes) -> tuple[int, int]:
        values.append(value)
        return 0, 0

    program()["send_content"](send, content, "0" * 16)

    chunks = [event for event in map(decode_blob_event, values) if isinstance(event, Chunk)]
    assert [chunk.offset for chunk in chunks] == [0, 524_288, 1_048_576]
    assert b"".join(chunk.data for chunk in chunks) == content


@given(mailbox_events | blob_events)
def test_the_schema_takes_what_the_codec_takes(event: MailboxEvent | BlobEvent) -> None:
    plain = json.loads(msgspec.json.encode(event))
    if isinstance(event, Put):
        plain["state"] = {"folder": "f", "name": "n", "title": "t", "address": "a"}

    assert complaints(plain) == []


@pytest.mark.parametrize("fields", WITHIN_LIMITS)
def test_the_schema_takes_what_is_just_within_the_limits(fields: dict[str, Any]) -> None:
    event = PUT | fields
    event["state"] = {"folder": "inbox", **event["state"]}

    assert complaints(event) == []


@pytest.mark.parametrize(
    "fields",
    [fields for fields, why in BREAKING if not any(words in why for words in STATED_IN_WORDS)],
)
def test_the_schema_refuses_what_the_codec_refuses(fields: dict[str, Any]) -> None:
    assert not validator.is_valid(PUT | fields)


@pytest.mark.parametrize(
    ("item_type", "state"),
    [
        ("message", {}),
        ("message", {"folder": 2}),
        ("message", {"folder": "2", "flags": "seen"}),
        ("folder", {"folder": "2"}),
        ("account", {"address": "a", "settings": []}),
        ("task", {"title": "t", "due_ms": "soon"}),
    ],
)
def test_the_schema_types_the_state_by_the_kind_of_item(item_type: str, state: object) -> None:
    assert not validator.is_valid(PUT | {"type": item_type, "state": state})


def test_a_blob_event_is_no_event_of_the_other_topic() -> None:
    only_mailbox = jsonschema_rs.validator_for(
        event_schema() | {"anyOf": [{"$ref": "#/$defs/MailboxEvent"}]}
    )

    assert only_mailbox.is_valid(PUT)
    assert not only_mailbox.is_valid(CHUNK | {"data": ""})
    assert validator.is_valid(CHUNK | {"data": ""})


def test_a_marker_needs_no_account() -> None:
    assert complaints({"event": "marker", "schema": 1, "kind": "switch", "time_ms": 0}) == []
