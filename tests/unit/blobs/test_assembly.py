"""Uploads become content, however their producer cut them."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from streambackup.blobs.assembly import HELD_BYTES_MAX, Assembly
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
from streambackup.runtime.disk import Disk


def assemble(content: bytes, cuts: list[int], root: Path, settings: CompressionSettings) -> bytes:
    """What is stored of *content* that came cut at *cuts*, by way of a file."""
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
    assembly = Assembly(chunks[0], 0, 0)
    for offset, chunk in enumerate(chunks):
        assembly.add(chunk, offset, writer, settings)
    assert assembly.complete
    path, digest, size = assembly.finish_big()
    stored = path.read_bytes()
    assert (digest, size) == (digest_of(content), len(stored))
    return stored


@pytest.mark.parametrize("magic", [GZIP_MAGIC, ZSTD_MAGIC])
@pytest.mark.parametrize("cuts", [[], [1], [1, 2, 3], [0, 0, 1], [700_000]])
def test_big_content_that_looks_packed_comes_back_whatever_its_chunks(
    magic: bytes, cuts: list[int], tmp_path: Path
) -> None:
    content = magic + bytes(HELD_BYTES_MAX)

    stored = assemble(content, cuts, tmp_path, CompressionSettings(Compression.NONE))

    assert b"".join(decode_blob([stored])) == content


def test_a_short_first_chunk_does_not_keep_big_content_from_shrinking(tmp_path: Path) -> None:
    content = bytes(HELD_BYTES_MAX + 1)

    stored = assemble(content, [1], tmp_path, CompressionSettings(Compression.GZIP, 1))

    assert len(stored) < len(content) // 10
    assert b"".join(decode_blob([stored])) == content
