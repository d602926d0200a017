"""What golden bytes say, as JSON, and the same bytes made anew by today's code."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from streambackup.blobs.compression import decode_blob
from streambackup.coherency.check import check_store
from streambackup.domain.digest import digest_of
from streambackup.domain.history import ItemState
from streambackup.events.blob import BlobEvent
from streambackup.events.codec import decode_blob_event, decode_mailbox_event, encode_event
from streambackup.events.mailbox import MailboxEvent
from streambackup.journal.frame import FILE_MAGIC, Damage, Frame, FrameKind, decode_frames
from streambackup.journal.frame import encode_frame as encode
from streambackup.journal.life import Life, encode_life
from streambackup.journal.mark import encode_mark, read_mark
from streambackup.journal.payload import (
    Blobs,
    EpochOpened,
    Gap,
    Records,
    decode_payload,
    encode_payload,
)
from streambackup.metadata.account_log import decode_events, decode_lines, encode_line
from streambackup.metadata.store_config import encode_store_config, read_store_config
from streambackup.reading.contents import Contents, Standing
from streambackup.reading.fingerprint import fingerprint
from streambackup.reading.store_reader import StoreReader

_PAYLOADS: dict[FrameKind, Callable[[bytes], Any]] = {
    FrameKind.EPOCH: lambda data: decode_payload(data, EpochOpened),
    FrameKind.RECORDS: lambda data: decode_payload(data, Records),
    FrameKind.GAP: lambda data: decode_payload(data, Gap),
    FrameKind.BLOBS: lambda data: decode_payload(data, Blobs),
}


def plain(value: object) -> Any:
    """*value* as JSON has it."""
    return json.loads(msgspec.json.encode(value))


def tell_event(file: Path) -> Any:
    return plain(_event(file))


def remake_event(file: Path) -> bytes:
    return encode_event(_event(file))


def _event(file: Path) -> MailboxEvent | BlobEvent:
    data = file.read_bytes()
    if file.name.startswith(("chunk", "reference")):
        return decode_blob_event(data)
    return decode_mailbox_event(data)


def tell_frame(file: Path) -> Any:
    ((_, frame),) = decode_frames(FILE_MAGIC + file.read_bytes())
    return _told(frame)


def remake_frame(file: Path) -> bytes:
    ((_, frame),) = decode_frames(FILE_MAGIC + file.read_bytes())
    return _remade(frame)


def tell_segment(file: Path) -> Any:
    return [_told(found) for _, found in decode_frames(file.read_bytes())]


def remake_segment(file: Path) -> bytes:
    frames = (found for _, found in decode_frames(file.read_bytes()))
    return FILE_MAGIC + b"".join(_remade(frame) for frame in frames)


def _told(found: Frame | Damage) -> Any:
    if isinstance(found, Damage):
        return plain(found._asdict())
    payload = _PAYLOADS[found.kind](found.payload)
    last = found.last._asdict()
    return plain(found._asdict() | {"kind": found.kind.name, "last": last, "payload": payload})


def _remade(found: Frame | Damage) -> bytes:
    if isinstance(found, Damage):
        return b""
    payload = encode_payload(_PAYLOADS[found.kind](found.payload))
    return encode(found.kind, found.generation, found.first, found.next, found.last, payload)


def tell_lines(file: Path) -> Any:
    decode = decode_events if file.name.endswith(".partition.jsonl") else decode_lines
    return plain(list(decode(file.read_bytes())))


def remake_lines(file: Path) -> bytes:
    if file.name.endswith(".partition.jsonl"):
        events = list(decode_events(file.read_bytes()))
        return b"".join(encode_line(event) for event in events if not isinstance(event, tuple))
    lines = list(decode_lines(file.read_bytes()))
    return b"".join(encode_line(line) for line in lines if not isinstance(line, tuple))


def tell_mark(file: Path) -> Any:
    mark = read_mark(file)
    assert mark is not None, "the mark fails its check"
    return plain(mark)


def remake_mark(file: Path) -> bytes:
    mark = read_mark(file)
    assert mark is not None
    return encode_mark(mark)


def tell_life(file: Path) -> Any:
    return plain(msgspec.json.decode(file.read_bytes(), type=Life))


def remake_life(file: Path) -> bytes:
    return encode_life(msgspec.json.decode(file.read_bytes(), type=Life))


def tell_config(file: Path) -> Any:
    return plain(read_store_config(file.parent))


def remake_config(file: Path) -> bytes:
    return encode_store_config(read_store_config(file.parent))


def tell_blob(file: Path) -> Any:
    content = b"".join(decode_blob([file.read_bytes()]))
    return {"digest": digest_of(content), "content": base64.b64encode(content).decode()}


def tell_store(root: Path) -> Any:
    """What a store answers, wording apart: its fingerprint, its histories, what a check finds."""
    reader = StoreReader(root)
    contents = Contents(reader)
    histories = [reader.history(account) for account in reader.accounts()]
    states = [s for history in histories for item in history.items.values() for s in item.states]
    findings = check_store(root).findings
    return {
        "fingerprint": fingerprint(reader),
        "findings": sorted([f.finding, f.account or "", f.item or ""] for f in findings),
        "contents": {s.digest: _content(contents, s) for s in states if s.digest},
        "doubts": {
            history.account: plain([(doubt.since_ms, doubt.position) for doubt in history.doubts])
            for history in histories
        },
        "items": {history.account: plain(history.items) for history in histories},
    }


def _content(contents: Contents, state: ItemState) -> str:
    standing = contents.standing(state)
    if standing is not Standing.STORED:
        return str(standing)
    return base64.b64encode(b"".join(contents.pieces(state))).decode()


TOLD: list[tuple[str, Callable[[Path], Any], Callable[[Path], bytes] | None]] = [
    ("events/*.msgpack", tell_event, remake_event),
    ("frames/*.frame", tell_frame, remake_frame),
    ("files/*.journal", tell_segment, remake_segment),
    ("files/*.jsonl", tell_lines, remake_lines),
    ("files/*.filed", tell_mark, remake_mark),
    ("files/*.closed", tell_mark, remake_mark),
    ("files/generation.json", tell_life, remake_life),
    ("files/streambackup.json", tell_config, remake_config),
    ("blobs/*.blob", tell_blob, None),
    ("store", tell_store, None),
]
"""Which files there are, what they say, and how today's code writes the same."""
