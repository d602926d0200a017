"""What a published line means, and what each mistake in one gets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streambackup.domain.digest import digest_of
from streambackup.domain.entry import ItemType
from streambackup.errors import InvalidEventError
from streambackup.events.mailbox import EVENT_BYTES_MAX, EmptyFolder, Marker, Put
from streambackup.service.publish_line import LINE_BYTES_MAX, OwnEvent, read_line
from streambackup.sources.port import Content, Observation

NOW_MS = 1_795_269_802_123
MAIL = b"Subject: Hi\r\n\r\nhello\r\n"
SHORT: dict[str, Any] = {
    "account": "ann", "item": "1", "type": "message", "state": {"folder": "in"},
}  # fmt: skip
OWN: dict[str, Any] = {
    **SHORT, "event": "put", "source": "mine", "incarnation": "00aa00aa", "sequence": 1,
    "time_ms": 5,
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mail.eml").write_bytes(MAIL)
    return tmp_path


def read(fields: object, folder: Path = Path()) -> Observation | OwnEvent:
    return read_line(msgspec.json.encode(fields), folder=folder, now_ms=NOW_MS)


def own(fields: object, folder: Path = Path()) -> OwnEvent:
    meaning = read(fields, folder)
    assert isinstance(meaning, OwnEvent)
    return meaning


def test_the_shortest_path_is_a_line_and_a_file(folder: Path) -> None:
    assert read({**SHORT, "file": "mail.eml"}, folder) == Observation(
        account="ann",
        time_ms=NOW_MS,
        operation="put",
        item="1",
        type=ItemType.MESSAGE,
        state={"folder": "in"},
        content=Content(digest_of(MAIL), len(MAIL), folder / "mail.eml"),
    )


@pytest.mark.parametrize(
    "event", [{"event": "delete"}, {"event": "folder-delete"}, {"event": "account-delete"}]
)
def test_deletes_need_no_state(event: dict[str, Any]) -> None:
    item = {} if event["event"] == "account-delete" else {"item": "1"}
    meaning = read({"account": "ann", **item, **event})
    assert isinstance(meaning, Observation)
    assert meaning.operation == event["event"]


@pytest.mark.parametrize("time", [{"time": "2026-11-21T14:03:22.123Z"}, {"time_ms": NOW_MS}, {}])
def test_a_time_in_any_form_or_now(time: dict[str, Any]) -> None:
    meaning = read({**SHORT, **time})
    assert isinstance(meaning, Observation)
    assert meaning.time_ms == NOW_MS


def test_a_whole_event_keeps_its_own_id(folder: Path) -> None:
    meaning = own({**OWN, "file": "mail.eml"}, folder)
    assert isinstance(meaning.event, Put)
    assert (meaning.event.source, meaning.event.sequence) == ("mine", 1)
    assert meaning.content == Content(digest_of(MAIL), len(MAIL), folder / "mail.eml")


def test_what_only_whole_events_can_say() -> None:
    base = {key: OWN[key] for key in ("account", "source", "incarnation", "sequence", "time_ms")}
    empty = own({**base, "event": "empty-folder", "folder": "in"}).event
    assert isinstance(empty, EmptyFolder)
    conditional = own({**OWN, "after": "never-seen"}).event
    assert isinstance(conditional, Put)
    assert conditional.after == "never-seen"
    marker = {"event": "marker", "kind": "scan-done", "account": "ann", "source": "x", "time_ms": 1}
    assert isinstance(own(marker).event, Marker)


def test_a_digest_alone_refers_to_content_sent_before() -> None:
    digest = digest_of(MAIL)
    meaning = own({**OWN, "digest": digest, "size": len(MAIL)})
    assert meaning.content == Content(digest, len(MAIL), Path())


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ([], "not a JSON object"),
        ({**SHORT, "typ": "message"}, "typ"),
        ({**SHORT, "type": "mesage"}, "mesage"),
        ({**SHORT, "state": {}}, "folder"),
        ({**SHORT, "state": {"folder": 3}}, "folder"),
        ({**SHORT, "item": ""}, "needs an item"),
        ({**SHORT, "account": ""}, "account"),
        ({**SHORT, "account": "x" * 1025}, "account"),
        ({**SHORT, "time": "soon"}, "soon"),
        ({**SHORT, "time_ms": -1}, "time_ms"),
        ({**SHORT, "time_ms": 2**60}, "time_ms"),
        ({**SHORT, "file": "missing.eml"}, "missing.eml"),
        ({**SHORT, "file": "."}, "file"),
        ({**SHORT, "file": "a\0b"}, "file"),
        ({**SHORT, "after": "never-seen"}, "give source, incarnation and sequence"),
        ({"account": "ann", "event": "empty-folder", "item": "1"}, "give source"),
        ({**SHORT, "event": "delete"}, "no state"),
        ({"account": "ann", "event": "put", "item": "1"}, "type and a state"),
        ({"account": "ann", "event": "account-delete", "item": "1"}, "names no item"),
        ({**SHORT, "state": {"folder": "in", "x": "y" * EVENT_BYTES_MAX}}, "bytes"),
        ({**SHORT, "state": {"folder": "in", "x": [[[[[[[[[1]]]]]]]]]}}, "deep"),
        ({**SHORT, "state": {"folder": "in", "x": 10**30}}, "64 bits"),
        ({**OWN, "state": {"folder": "in", "x": 10**30}}, "int"),
        ({**OWN, "sequence": 0}, "sequence"),
        ({**OWN, "state": {}}, "folder"),
        ({**OWN, "file": 3}, "name of a file"),
        ({**OWN, "event": "delete", "file": "mail.eml"}, "only a put"),
        ({**OWN, "digest": digest_of(b"other"), "file": "mail.eml"}, "not the digest named"),
        ({**OWN, "digest": digest_of(MAIL)}, "size"),
        ({"event": "marker", "kind": "scan-done", "source": "", "time_ms": 1}, "names no account"),
        ({**OWN, "schema": 99}, "schema 99"),
    ],
)
def test_each_mistake_has_its_reason_on_one_line(folder: Path, fields: object, reason: str) -> None:
    with pytest.raises(InvalidEventError) as caught:
        read(fields, folder)
    assert reason in caught.value.message


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"\xff\xfe{}",
        b'{"account": "\xff"}',
        b'{"account": "\\ud800"}',
        b"[" * 100_000,
        b"x" * LINE_BYTES_MAX * 2,
    ],
)
def test_what_is_no_json_is_refused(line: bytes) -> None:
    with pytest.raises(InvalidEventError):
        read_line(line, folder=Path(), now_ms=NOW_MS)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
FIELDS = st.sampled_from(
    ["account", "event", "item", "type", "state", "time", "time_ms", "source", "incarnation",
     "sequence", "schema", "after", "digest", "size", "folder", "kind", "change", "content"]
)  # fmt: skip


@given(st.sampled_from([SHORT, OWN, {}]), st.dictionaries(FIELDS, ANY_JSON, max_size=4))
def test_no_line_gets_anything_but_a_meaning_or_a_reason(
    base: dict[str, Any], fields: dict[str, Any]
) -> None:
    try:
        meaning: object = read({**base, **fields})
    except InvalidEventError as error:
        meaning = error
    assert isinstance(meaning, Observation | OwnEvent | InvalidEventError)
