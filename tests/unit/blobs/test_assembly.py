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
from streambackup.blobs.loose import LooseWriter, clear_incoming
from streambackup.domain.digest import digest_of
from streambackup.errors import StoreError
from streambackup.events.blob import Chunk
from streambackup.journal.frame import LastRecord
from streambackup.runtime.disk import AppendFile, Disk


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


class WatchedDisk(Disk):
    def __init__(self) -> None:
        self._opened: list[AppendFile] = []

    def _open(self, path: Path, flags: int) -> AppendFile:
        file = super()._open(path, flags)
        self._opened.append(file)
        return file

    def closed(self) -> list[bool]:
        """Of each file that was opened, whether it is closed by now."""
        return [file.descriptor < 0 for file in self._opened]


def begun(writer: LooseWriter) -> Assembly:
    """A big upload that is written as far as it came: the first of its two chunks."""
    chunk = half(0)
    assembly = Assembly(chunk, 0, Hold(0, LastRecord(None, 0)))
    assembly.add(chunk, 0)
    assembly.write(writer, CompressionSettings(Compression.NONE))
    return assembly


def half(number: int) -> Chunk:
    size = HELD_BYTES_MAX
    digest, data = digest_of(bytes(2 * size)), bytes(size)
    return Chunk(
        schema=1, digest=digest, upload="u", offset=number * size, total=2 * size, data=data
    )


def test_an_upload_that_waits_for_its_rest_keeps_no_file_open(tmp_path: Path) -> None:
    disk = WatchedDisk()

    assembly = begun(LooseWriter(tmp_path, "test", disk))

    assert assembly.path is not None
    assert assembly.path.stat().st_size == HELD_BYTES_MAX
    assert set(disk.closed()) == {True}


@pytest.mark.parametrize("others", [0, 1])
def test_an_upload_whose_beginning_was_taken_away_does_not_go_on(
    tmp_path: Path, others: int
) -> None:
    """Its directory goes with it, unless somebody wrote to it meanwhile."""
    writer = LooseWriter(tmp_path, "test", Disk())
    assembly = begun(writer)
    clear_incoming(tmp_path, lambda name: name == "test", Disk())
    for _ in range(others):
        writer.open().close()
    assembly.add(half(1), 1)

    with pytest.raises(StoreError, match="was taken away"):
        assembly.write(writer, CompressionSettings(Compression.NONE))

    assert assembly.path is not None
    assert not assembly.path.exists()
