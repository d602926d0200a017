"""Frames: the unit that a journal appends, checks and skips. Layout in docs/format.md, "Journal".

Pure: bytes in, bytes out.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple, Protocol

from streambackup.domain.crc import crc32c, crc32c_extend
from streambackup.errors import newer_release

FILE_MAGIC = b"sbjrnl1\n"
_NEWER_MAGIC = re.compile(rb"sbjrnl[2-9]\n")
FRAME_MAGIC = b"SBF1"
_HEADER = struct.Struct("<4sII BB2x 8s QQ qI4x")
_LAST_KNOWN = 1
HEADER_BYTES = _HEADER.size
_CHECKED_FROM = 12
PAYLOAD_BYTES_MAX = 256 * 1024 * 1024


class FrameKind(IntEnum):
    EPOCH = 1
    RECORDS = 2
    GAP = 3
    BLOBS = 4


_KINDS = frozenset(FrameKind)


class LastRecord(NamedTuple):
    """The record that an owner reads again before it goes on: its record checksum and publish time
    in ms.

    ``crc`` is None where there is no record: at the beginning, and behind a gap.
    """

    crc: int | None
    published_ms: int


NO_RECORD = LastRecord(None, 0)


class Frame(NamedTuple):
    """One checked frame. It covers offsets ``first`` (inclusive) to ``next`` of its generation.

    ``last`` describes the last record before ``next``.
    """

    kind: FrameKind
    generation: str
    first: int
    next: int
    last: LastRecord
    payload: bytes


class Bytes(Protocol):
    """What frames are read from: bytes, or a file that is read a slice at a time."""

    def __len__(self) -> int: ...
    def __getitem__(self, part: slice, /) -> bytes: ...


class Damage(NamedTuple):
    """Bytes that are no valid frame.

    A torn tail has nothing valid behind it; anything else is damage.
    """

    start: int
    end: int
    torn: bool


def encode_frame(
    kind: FrameKind, generation: str, first: int, next: int, last: LastRecord, payload: bytes
) -> bytes:
    """The frame's bytes. *generation* is 16 hex digits."""
    assert first <= next
    assert len(payload) <= PAYLOAD_BYTES_MAX
    flags = 0 if last.crc is None else _LAST_KNOWN
    header = _HEADER.pack(
        FRAME_MAGIC,
        len(payload),
        0,
        kind,
        flags,
        bytes.fromhex(generation),
        first,
        next,
        last.published_ms,
        last.crc or 0,
    )
    crc = crc32c_extend(crc32c(header[_CHECKED_FROM:]), payload)
    return header[:8] + crc.to_bytes(4, "little") + header[_CHECKED_FROM:] + payload


def decode_frames(
    data: Bytes, generation: str | None = None, first: int = 0
) -> Iterator[tuple[int, Frame | Damage]]:
    """The frames in a journal file's bytes, each with where it begins in *data*.

    Bytes that fail their check, the file's magic among them, are yielded as Damage, then reading
    goes on at the next valid frame, if any. As a damaged frame may hold bytes that look like one,
    the next is first looked for where the damaged one's length says, and has to be one that can
    stand there: of *generation* (None: of any), of no offset before *first* or the frames before.

    Raises:
        StoreError: a frame that passes its check is of a kind that this release does not know, or
        the file is of a form that it does not.
    """
    magic = data[: len(FILE_MAGIC)]
    if _NEWER_MAGIC.fullmatch(magic) and _frame_at(data, len(magic)) is None:
        raise newer_release("a journal segment")  # With a frame behind it, the magic is damaged.
    at = len(FILE_MAGIC) if magic == FILE_MAGIC else 0
    end = len(data)
    reach = first
    while at < end:
        frame = _frame_at(data, at)
        if frame is not None:
            yield at, frame
            at += HEADER_BYTES + len(frame.payload)
            reach = frame.next
            continue
        following = _next_valid(data, at, generation, reach)
        yield at, Damage(at, following or end, torn=following is None)
        if following is None:
            return
        at = following


def headers_end(data: Bytes) -> int | None:
    """The first offset behind all frames, by their headers alone; None where these do not lead from
    one to the next up to the end of *data*.

    A damaged frame may be among them, and cover less than its header says; none covers more.
    """
    if data[: len(FILE_MAGIC)] != FILE_MAGIC:
        return None
    at, end, reach = len(FILE_MAGIC), len(data), 0
    while at < end:
        header = data[at : at + HEADER_BYTES]
        if len(header) < HEADER_BYTES or header[:4] != FRAME_MAGIC:
            return None
        _, length, _, _, _, _, _, next_, _, _ = _HEADER.unpack(header)
        reach = max(reach, next_)
        at += HEADER_BYTES + length
    return reach if at == end else None


def _frame_at(data: Bytes, at: int, generation: str | None = None, reach: int = 0) -> Frame | None:
    """The frame at *at*, if one is there, of *generation* and behind *reach*; what it may be is
    decided before its payload is looked at.
    """
    header = data[at : at + HEADER_BYTES]
    if len(header) < HEADER_BYTES or header[:4] != FRAME_MAGIC:
        return None
    _, length, crc, kind, flags, named, first, next_, last_ms, last_crc = _HEADER.unpack(header)
    end = at + HEADER_BYTES + length
    if length > PAYLOAD_BYTES_MAX or end > len(data) or not reach <= first <= next_:
        return None
    if generation not in (None, named.hex()):
        return None
    payload = data[at + HEADER_BYTES : end]
    if crc32c_extend(crc32c(header[_CHECKED_FROM:]), payload) != crc:
        return None
    if kind not in _KINDS:
        raise newer_release(f"a journal frame of kind {kind}")
    last = LastRecord(last_crc if flags & _LAST_KNOWN else None, last_ms)
    return Frame(FrameKind(kind), named.hex(), first, next_, last, payload)


def _next_valid(data: Bytes, damaged: int, generation: str | None, reach: int) -> int | None:
    """Where the next frame begins behind the bytes at *damaged*, that can stand there."""
    whole = data[:]
    found = (at for at in _candidates(whole, damaged) if _frame_at(whole, at, generation, reach))
    return next(found, None)


def _candidates(whole: bytes, damaged: int) -> Iterator[int]:
    if whole[damaged : damaged + 4] == FRAME_MAGIC and len(whole) - damaged >= HEADER_BYTES:
        yield damaged + HEADER_BYTES + int.from_bytes(whole[damaged + 4 : damaged + 8], "little")
    at = damaged
    while (at := whole.find(FRAME_MAGIC, at + 1)) >= 0:
        yield at
