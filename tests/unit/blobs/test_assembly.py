"""Uploads become content, however their producer cut them."""

from __future__ import annotations

import itertools
from collections.abc import Collection
from pathlib import Path

import pytest

from streambackup.blobs.assembly import HELD_BYTES_MAX, Assembly, Hold
from streambackup.blobs.compression import (
    GZIP_MAGIC,
    ZSTD_MAGIC,
    Compression,
    CompressionSettings,
    decode_blob,
)
from streambackup.blobs.loose import LooseWriter
from streambackup.domain.digest import digest_of
from streambackup.events.blob import Chunk
from streambackup.journal.frame import LastRecord
from streambackup.runtime.disk import Disk


def assemble(
    content: bytes,
    cuts: list[int],
    root: Path,
    settings: CompressionSettings,
    batches: Collection[int] = (),
) -> bytes:
    """What is stored of *content* that came cut at *cuts*, the chunks of numbers *batches* being
    the last of theirs.
    """
    writer = LooseWriter(root, "test", Disk())
    edges = [0, *cuts, len(content)]
    chunks = [
        Chunk(
            schema=1,
            digest=digest_of(content),
            upload="u",
            offset=begin,
            total=len(content),
            data=content[begin:end],
        )
        for begin, end in itertools.pairwise(edges)
    ]
    assembly = Assembly(chunks[0], 0, Hold(0, LastRecord(None, 0)))
    for offset, chunk in enumerate(chunks):
        assembly.add(chunk, offset)
        if offset in batches and not assembly.complete:
            assembly.write(writer, settings)
    assembly.write(writer, settings)
    assert assembly.complete
    assert assembly.path is not None
    stored = assembly.path.read_bytes()
    assert (assembly.found, assembly.stored_size) == (digest_of(content), len(stored))
    return stored


@pytest.mark.parametrize("magic", [GZIP_MAGIC, ZSTD_MAGIC])
@pytest.mark.parametrize("cuts", [[], [1], [1, 2, 3], [0, 0, 1], [700_000]])
def test_big_content_that_looks_packed_comes_back_whatever_its_chunks(
    magic: bytes, cuts: list[int], tmp_path: Path
) -> None:
    content = magic + bytes(HELD_BYTES_MAX)

    stored = assemble(content, cuts, tmp_path, CompressionSettings(Compression.NONE))

    assert b"".join(decode_blob([stored])) == content


@pytest.mark.parametrize("size", [0, 1, HELD_BYTES_MAX, HELD_BYTES_MAX + 1, 3 * HELD_BYTES_MAX])
@pytest.mark.parametrize("batches", [[], [0], [1], [0, 1, 2]])
def test_batches_may_end_anywhere_in_an_upload(
    size: int, batches: list[int], tmp_path: Path
) -> None:
    content = b"At one?\r\n" * (size // 9) + bytes(size % 9)
    settings = CompressionSettings()

    stored = assemble(content, [size // 7, size // 2], tmp_path / "a", settings, batches)

    assert stored == assemble(content, [size // 7, size // 2], tmp_path / "b", settings)
    assert b"".join(decode_blob([stored])) == content


def test_small_content_with_another_digest_gets_no_file(tmp_path: Path) -> None:
    chunk = Chunk(schema=1, digest=digest_of(b"two"), upload="u", offset=0, total=3, data=b"one")
    assembly = Assembly(chunk, 0, Hold(0, LastRecord(None, 0)))
    assembly.add(chunk, 0)

    assembly.write(LooseWriter(tmp_path, "test", Disk()), CompressionSettings())

    assert (assembly.found, assembly.path) == (digest_of(b"one"), None)
    assert list(tmp_path.iterdir()) == []


def test_a_short_first_chunk_does_not_keep_big_content_from_shrinking(tmp_path: Path) -> None:
    content = bytes(HELD_BYTES_MAX + 1)

    stored = assemble(content, [1], tmp_path, CompressionSettings(Compression.GZIP, 1))

    assert len(stored) < len(content) // 10
    assert b"".join(decode_blob([stored])) == content
