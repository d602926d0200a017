"""docs/format.md says what the code does: its layouts, its examples and its numbers."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path

import msgspec

from streambackup.blobs import index as digest_index
from streambackup.blobs.compression import GZIP_MAGIC, ZSTD_MAGIC
from streambackup.bus.embedded import topic_file
from streambackup.domain.entry import Member
from streambackup.domain.history import ItemState
from streambackup.domain.transaction import TransactionId
from streambackup.events.mailbox import SCHEMA
from streambackup.journal import life
from streambackup.journal.frame import (
    FILE_MAGIC,
    FRAME_MAGIC,
    HEADER_BYTES,
    FrameKind,
    LastRecord,
    encode_frame,
)
from streambackup.journal.line import Line
from streambackup.journal.mark import FiledMark, read_mark
from streambackup.metadata import store_config
from streambackup.metadata.account_log import decode_lines
from streambackup.runtime.audit import AuditLine
from tests.tidy.tree import ROOT

PAGE = (ROOT / "docs" / "format.md").read_text()
EXAMPLES = re.findall(r"^```json\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def example(having: str) -> str:
    (found,) = [text for text in EXAMPLES if having in json.loads(text)]
    return found


def numbers(what: str) -> list[str]:
    """The number column of the rows about *what* in the table of numbers."""
    return re.findall(rf"^\|[^|]*{re.escape(what)}[^|]*\| ([^|]*) \|", PAGE, re.MULTILINE)


def test_the_frame_header_is_laid_out_as_its_table_says() -> None:
    rows = [(int(at), int(size)) for at, size in re.findall(r"^\| (\d+) \| (\d+) \|", PAGE, re.M)]
    frame = encode_frame(
        FrameKind.GAP, "0123456789abcdef", 7, 9, LastRecord(0xDEADBEEF, -5), b"payload"
    )
    fields = {at: frame[at : at + size] for at, size in rows}

    assert [at for at, _ in rows] == [sum(size for _, size in rows[:n]) for n in range(len(rows))]
    assert sum(size for _, size in rows) == HEADER_BYTES == 56
    assert fields[0] == FRAME_MAGIC == b"SBF1"
    assert struct.unpack("<I", fields[4]) == (len(b"payload"),)
    assert fields[12] == bytes([FrameKind.GAP])
    assert fields[13] == b"\x01"
    assert fields[16].hex() == "0123456789abcdef"
    assert struct.unpack("<QQq", fields[24] + fields[32] + fields[40]) == (7, 9, -5)
    assert struct.unpack("<I", fields[48]) == (0xDEADBEEF,)
    assert fields[14] + fields[52] == bytes(6)


def test_every_kind_of_frame_has_its_number_and_payload() -> None:
    for kind in FrameKind:
        assert f"{int(kind)} {kind.name}" in PAGE
        assert re.search(rf"^\| {kind.name} \| ", PAGE, re.MULTILINE)


def test_the_store_file_on_the_page_is_one(tmp_path: Path) -> None:
    text = example("moment_ms")
    (tmp_path / store_config.STORE_FILE).write_text(text)

    config = store_config.read_store_config(tmp_path)

    assert store_config.encode_store_config(config).decode() == text


def test_the_line_on_the_page_passes_its_checks() -> None:
    (line,) = decode_lines(example("earlier").encode())

    assert isinstance(line, Line)
    (earlier,) = line.earlier
    assert isinstance(earlier, Member)
    assert earlier.id == TransactionId("acme", "5e0c7a91", 6)


def test_the_mark_on_the_page_passes_its_check(tmp_path: Path) -> None:
    (tmp_path / "mark").write_text(example("filed_to"))

    assert read_mark(tmp_path / "mark") == msgspec.json.decode(example("filed_to"), type=FiledMark)


def test_the_numbers_of_the_formats_are_those_of_the_code() -> None:
    assert numbers("`streambackup.json`, `format`") == [str(store_config.FORMAT)]
    assert numbers("`generation.json`, `format`") == [str(life.FORMAT)]
    assert numbers("first 8 bytes of a segment") == [f"`{FILE_MAGIC.decode()[:-1]}\\n`"]
    assert numbers("frame kind") == [f"{min(FrameKind)} to {max(FrameKind)}"]
    assert numbers("`schema` in an event") == [str(SCHEMA)]
    assert numbers("`blobs-*.sqlite` in `state`") == [str(digest_index.FORMAT)]
    assert numbers("other SQLite files in `state`") == [str(topic_file.FORMAT)]


def test_the_forms_of_blobs_begin_as_the_page_says() -> None:
    assert f"| `{GZIP_MAGIC.hex(' ')}` |" in PAGE
    assert f"| `{ZSTD_MAGIC.hex(' ')}` |" in PAGE


def test_the_page_names_every_field_of_what_is_json() -> None:
    fields = [
        *store_config.StoreConfig.__struct_fields__,
        *life.Life.__struct_fields__,
        *Line.__struct_fields__,
        *FiledMark.__struct_fields__,
        *ItemState.__struct_fields__,
        *AuditLine.__struct_fields__,
    ]

    assert [name for name in fields if f"`{name}`" not in PAGE and f'"{name}"' not in PAGE] == []
