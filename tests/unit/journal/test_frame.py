"""Frames: what is read back is what was written, and what is not is told apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streambackup.domain.crc import crc32c
from streambackup.journal.frame import (
    FILE_MAGIC,
    FRAME_MAGIC,
    NO_RECORD,
    Damage,
    Frame,
    FrameKind,
    LastRecord,
    decode_frames,
    encode_frame,
)

GENERATION = "0123456789abcdef"
OFFSETS = st.integers(0, 2**63 - 1)


def frame(number: int, payload: bytes = b"payload", generation: str = GENERATION) -> bytes:
    last = LastRecord(number, 1_000 + number)
    return encode_frame(FrameKind.RECORDS, generation, number, number + 1, last, payload)


def changed_frame(at: int, value: bytes, generation: str = GENERATION) -> bytes:
    """A frame that passes its check, with other bytes in its header."""
    data = bytearray(frame(5, generation=generation))
    data[at : at + len(value)] = value
    data[8:12] = crc32c(bytes(data[12:])).to_bytes(4, "little")
    return bytes(data)


def decoded(data: bytes) -> list[Frame | Damage]:
    return [found for _, found in decode_frames(data)]


def numbers(found: list[Frame | Damage]) -> list[int | str]:
    """The first offset of each frame; for damage, whether it is a torn tail."""
    return [
        one.first if isinstance(one, Frame) else "torn" if one.torn else "damage" for one in found
    ]


@given(
    kind=st.sampled_from(FrameKind),
    first=OFFSETS,
    length=st.integers(0, 1_000),
    crc=st.none() | st.integers(0, 2**32 - 1),
    published_ms=st.integers(-1, 2**53),
    payload=st.binary(max_size=200),
)
def test_a_frame_comes_back_as_it_was(
    kind: FrameKind, first: int, length: int, crc: int | None, published_ms: int, payload: bytes
) -> None:
    last = LastRecord(crc, published_ms)
    data = encode_frame(kind, GENERATION, first, first + length, last, payload)

    assert decoded(FILE_MAGIC + data) == [
        Frame(kind, GENERATION, first, first + length, last, payload)
    ]


def test_each_frame_is_told_with_where_it_begins() -> None:
    data = FILE_MAGIC + frame(0) + frame(1)

    assert [at for at, _ in decode_frames(data)] == [8, 8 + len(frame(0))]


def test_every_cut_leaves_the_frames_before_it_and_a_torn_tail() -> None:
    data = FILE_MAGIC + frame(0) + frame(1) + frame(2)
    borders = [len(FILE_MAGIC) + len(frame(0)) * count for count in range(4)]
    for cut in range(len(FILE_MAGIC) + 1, len(data)):
        whole = sum(border <= cut for border in borders) - 1
        tail = [] if cut in borders else ["torn"]

        assert numbers(decoded(data[:cut])) == [*range(whole), *tail]


def test_zeros_for_what_never_reached_the_disk_are_a_torn_tail() -> None:
    assert numbers(decoded(FILE_MAGIC + frame(0) + bytes(500))) == [0, "torn"]


def test_any_changed_byte_damages_its_frame_and_no_other() -> None:
    data = FILE_MAGIC + frame(0) + frame(1) + frame(2)
    start, size = len(FILE_MAGIC) + len(frame(0)), len(frame(1))
    for at in range(start, start + size):
        changed = bytearray(data)
        changed[at] ^= 0x40

        assert numbers(decoded(bytes(changed))) == [0, "damage", 2], at - start


def test_a_damaged_magic_does_not_hide_the_frames_behind_it() -> None:
    data = b"?" + FILE_MAGIC[1:] + frame(0) + frame(1)

    assert numbers(decoded(data)) == ["damage", 0, 1]
    assert numbers(decoded(FILE_MAGIC[:5])) == ["torn"]
    assert decoded(b"") == []


def test_what_looks_like_a_frame_inside_another_is_not_read_twice() -> None:
    outer = frame(0, payload=frame(7))

    assert numbers(decoded(FILE_MAGIC + outer + frame(1))) == [0, 1]


HOSTILE = {
    "of another generation": frame(5, b"evil", generation="f" * 16),
    "of offsets that were read": frame(1, b"evil"),
    "that ends before it begins": changed_frame(32, (4).to_bytes(8, "little")),
    "of another generation, and a kind that is not known": changed_frame(12, b"\x09", "f" * 16),
}


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("damaged_at", [0, 4, 60], ids=["magic", "length", "payload"])
def test_what_a_damaged_record_holds_is_no_frame(hostile: str, damaged_at: int) -> None:
    """A record in quarantine is kept as it came, and whoever sent it may have known our frames."""
    outer = bytearray(frame(2, b"value: " + HOSTILE[hostile]))
    outer[damaged_at] ^= 1
    data = FILE_MAGIC + frame(1) + bytes(outer) + frame(3)

    assert numbers([found for _, found in decode_frames(data, GENERATION, 1)]) == [1, "damage", 3]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_what_a_torn_record_holds_is_no_frame(hostile: str) -> None:
    torn = frame(2, HOSTILE[hostile] + b"the rest")[:-1]
    data = FILE_MAGIC + frame(1) + torn

    assert numbers([found for _, found in decode_frames(data, GENERATION, 1)]) == [1, "torn"]


def test_a_frame_in_a_damaged_one_is_passed_over_by_its_length() -> None:
    """Even one that would fit."""
    outer = bytearray(frame(2, b"value: " + frame(2, b"evil")))
    outer[-1] ^= 1
    data = FILE_MAGIC + frame(1) + bytes(outer) + frame(3)

    assert numbers([found for _, found in decode_frames(data, GENERATION, 1)]) == [1, "damage", 3]


def test_a_frame_of_offsets_before_the_file_begins_is_none_of_it() -> None:
    data = b"?" + FILE_MAGIC[1:] + frame(3) + frame(4)

    assert numbers([found for _, found in decode_frames(data, GENERATION, 4)]) == ["damage", 4]


def test_a_length_beyond_the_file_is_no_frame() -> None:
    header = bytearray(frame(0))
    header[4:8] = (2**31).to_bytes(4, "little")
    data = FILE_MAGIC + bytes(header) + frame(1)

    assert numbers(decoded(data)) == ["damage", 1]


@given(st.binary(max_size=300), st.booleans())
def test_no_bytes_break_the_reader(garbage: bytes, with_magic: bool) -> None:
    data = FILE_MAGIC + garbage + FRAME_MAGIC * with_magic + frame(5)

    assert decoded(data)[-1] == decoded(FILE_MAGIC + frame(5))[0]


def test_no_record_is_told_from_one_whose_checksum_is_zero() -> None:
    zero = LastRecord(0, 0)
    frames = [
        encode_frame(FrameKind.GAP, GENERATION, 0, 1, last, b"") for last in (NO_RECORD, zero)
    ]

    assert [
        one.last for one in decoded(FILE_MAGIC + b"".join(frames)) if isinstance(one, Frame)
    ] == [
        NO_RECORD,
        zero,
    ]
