"""What a newer release wrote is told from damage: it passes its check and is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from streambackup.domain.crc import crc32c
from streambackup.errors import StoreError
from streambackup.events.codec import decode_kept_event
from streambackup.journal.frame import (
    FILE_MAGIC,
    NO_RECORD,
    Damage,
    FrameKind,
    decode_frames,
    encode_frame,
)
from streambackup.journal.life import LIFE_FILE, Life, read_lives, write_life
from streambackup.journal.mark import FiledMark, encode_mark, read_mark
from streambackup.journal.payload import Records, decode_payload
from streambackup.metadata.account_log import decode_lines
from streambackup.runtime.disk import Disk

KIND_AT = 12


def with_kind(frame: bytes, kind: int) -> bytes:
    """*frame* as another kind, with the right checksum."""
    checked = frame[KIND_AT:].replace(frame[KIND_AT : KIND_AT + 1], bytes([kind]), 1)
    return frame[:8] + crc32c(checked).to_bytes(4, "little") + checked


def test_a_frame_of_an_unknown_kind_is_refused() -> None:
    frame = encode_frame(FrameKind.GAP, "0" * 16, 0, 1, NO_RECORD, b"")

    assert len(list(decode_frames(FILE_MAGIC + with_kind(frame, FrameKind.RECORDS)))) == 1
    with pytest.raises(StoreError, match="a journal frame of kind 9 was written by a newer"):
        list(decode_frames(FILE_MAGIC + with_kind(frame, 9)))


def test_a_segment_of_a_newer_form_is_refused() -> None:
    with pytest.raises(StoreError, match="a journal segment was written by a newer"):
        list(decode_frames(b"sbjrnl2\n" + b"whatever follows"))


def test_a_segment_whose_number_is_damaged_is_not_taken_for_a_newer_one() -> None:
    frame = encode_frame(FrameKind.GAP, "0" * 16, 0, 1, NO_RECORD, b"")
    (_, damage), (_, found) = decode_frames(b"sbjrnl3\n" + frame)

    assert (damage, found) == (Damage(0, 8, torn=False), next(decode_frames(FILE_MAGIC + frame))[1])


def test_a_mark_with_a_field_of_the_next_release_counts(tmp_path: Path) -> None:
    mark = FiledMark(7, 1, 2, 3, records=4)
    (tmp_path / "mark").write_bytes(encode_mark(mark).replace(b"{", b'{"added":[1],', 1))
    found = read_mark(tmp_path / "mark")

    assert found is not None
    assert (found.filed_to, found.records) == (7, 4)


def test_a_payload_of_another_layout_is_refused() -> None:
    with pytest.raises(StoreError, match=r"a journal frame .* was written by a newer release"):
        decode_payload(b"\xc0", Records)


@pytest.mark.parametrize("encode", [msgspec.json.encode, msgspec.msgpack.encode])
def test_an_event_that_only_a_newer_release_takes_is_refused(
    encode: Callable[[object], bytes],
) -> None:
    with pytest.raises(StoreError, match=r"an event .* was written by a newer release"):
        decode_kept_event(encode({"event": "put", "schema": 2, "what": "else"}))


def test_a_line_of_another_layout_is_refused() -> None:
    body = b'{"line":2}'

    with pytest.raises(StoreError, match=r"a line .* was written by a newer release"):
        list(decode_lines(b'{"line":2,"crc":"%08x"}\n' % crc32c(body)))


def test_a_generation_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    life = Life(
        generation="0" * 16,
        number=1,
        predecessor=None,
        partitions=1,
        blob_partitions=1,
        transactions_topic="mailbox.transactions",
        blobs_topic="mailbox.blobs",
        format=2,
    )
    write_life(tmp_path, life, Disk())

    with pytest.raises(StoreError, match=rf"{LIFE_FILE} was written by a newer release"):
        read_lives(tmp_path)
    (tmp_path / "journal" / life.generation / LIFE_FILE).write_bytes(b'{"format":2,"number":"?"}')
    with pytest.raises(StoreError, match=rf"{LIFE_FILE} was written by a newer release"):
        read_lives(tmp_path)
