"""One event of each topic, and changes to it that the contract allows or refuses."""

from __future__ import annotations

from typing import Any

from streambackup.domain.digest import digest_of
from streambackup.events.mailbox import STATE_DEPTH_MAX

PUT: dict[str, Any] = {
    "event": "put",
    "schema": 1,
    "account": "ann@example.org",
    "source": "maildir",
    "incarnation": "00c0ffee",
    "sequence": 1,
    "time_ms": 1_795_269_802_123,
    "item": "17",
    "type": "message",
    "state": {"folder": "inbox"},
}
CHUNK: dict[str, Any] = {
    "event": "chunk",
    "schema": 1,
    "digest": digest_of(b""),
    "upload": "u",
    "offset": 0,
    "total": 0,
    "data": b"",
}


def nested(depth: int, *, lists: bool = False) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value] if lists else {"a": value}
    return value


WITHIN_LIMITS: list[dict[str, Any]] = [
    {"account": "a" * 1024},
    {"item": "😀" * 1024},
    {"item": "../../etc/passwd\0"},
    {"source": "A-z.0_9@" * 8},
    {"incarnation": "0123456789abcdef" * 2},
    {"sequence": 2**53},
    {"time_ms": 0},
    {"state": {"n": [2**63 - 1, -(2**63), 0.5, 1e308]}},
    {"state": nested(STATE_DEPTH_MAX)},
    {"state": {"a": nested(STATE_DEPTH_MAX - 1, lists=True)}},
    {"after": "never-seen"},
    {"after": ["maildir", "00c0ffee", 1]},
    {"content": ["0123456789abcdef", 63, 2**63 - 1]},
]
BREAKING: list[tuple[dict[str, Any], str]] = [
    ({"event": "rename"}, "rename"),
    ({"schema": 2}, "schema 2 is newer than 1"),
    ({"schema": 7, "event": "rename", "state": 0}, "schema 7 is newer than 1"),
    ({"schema": 0}, "$.schema"),
    ({"account": ""}, "$.account"),
    ({"account": "a" * 1025}, "length <= 1024 - at `$.account`"),
    ({"item": "a" * 1025}, "length <= 1024 - at `$.item`"),
    ({"item": 17}, "$.item"),
    ({"source": "a:b"}, "the source 'a:b'"),
    ({"source": "a" * 65}, "$.source"),
    ({"incarnation": "00C0FFEE"}, "the incarnation '00C0FFEE'"),
    ({"incarnation": "../../.."}, "the incarnation '../../..'"),
    ({"sequence": 0}, "$.sequence"),
    ({"sequence": 2**53 + 1}, "$.sequence"),
    ({"sequence": "1"}, "$.sequence"),
    ({"time_ms": -1}, "$.time_ms"),
    ({"time_ms": 1.5}, "$.time_ms"),
    ({"change": -1}, "$.change"),
    ({"type": "memo"}, "memo"),
    ({"digest": "A" * 43}, "$.digest"),
    ({"digest": "A/" * 22}, "the digest 'A/A/"),
    ({"digest": "../" * 14 + "=="}, "the digest '../"),
    ({"size": -1}, "$.size"),
    ({"content": ["0123456789abcdef", 0, -1]}, "$.content[2]"),
    ({"content": ["0123456789abcdeg", 0, 1]}, "the generation '0123456789abcdeg'"),
    ({"content": ["0123456789abcdef", 0]}, "$.content"),
    ({"generation": "../../../../home"}, "the generation '../"),
    ({"generation": "0123"}, "$.generation"),
    ({"after": "never"}, "never"),
    ({"after": ["a:b", "00c0ffee", 1]}, "the source 'a:b'"),
    ({"after": ["a", "00c0ffee", 2**53 + 1]}, "$.after"),
    ({"state": []}, "$.state"),
    ({"state": {"n": 2**63}}, "9223372036854775807 - at `$.state[...]`"),
    ({"state": nested(STATE_DEPTH_MAX + 1)}, "nested more than 8 deep"),
    ({"state": {"a": nested(STATE_DEPTH_MAX, lists=True)}}, "nested more than 8 deep"),
]
