"""A blob from elsewhere is taken as it is stored there, if it is what its digest says."""

from __future__ import annotations

from pathlib import Path

import pytest

from streambackup.blobs.compression import Compression, CompressionSettings, encode_blob
from streambackup.blobs.copying import copy_blob
from streambackup.blobs.loose import LooseBlobs, LooseWriter, put_in_place
from streambackup.domain.digest import digest_of
from streambackup.errors import BlobDamagedError, BlobMissingError
from streambackup.runtime.disk import Disk

CONTENT = b"a letter\n" * 50_000
DIGEST = digest_of(CONTENT)


def elsewhere(root: Path, stored: bytes) -> LooseBlobs:
    blobs = LooseBlobs(root / "elsewhere")
    path = blobs.path_of(DIGEST)
    path.parent.mkdir(parents=True)
    path.write_bytes(stored)
    return blobs


def writer(root: Path) -> LooseWriter:
    return LooseWriter(root / "here", "copies", Disk())


@pytest.mark.parametrize("form", list(Compression))
def test_a_copy_has_the_bytes_of_the_other_place(tmp_path: Path, form: Compression) -> None:
    stored = encode_blob(CONTENT, CompressionSettings(form))
    copied = copy_blob(elsewhere(tmp_path, stored), DIGEST, writer(tmp_path))
    assert (copied.size, copied.stored_size) == (len(CONTENT), len(stored))
    put_in_place(tmp_path / "here", Disk(), [(DIGEST, copied.path)])
    here = LooseBlobs(tmp_path / "here")
    assert here.read(DIGEST) == CONTENT
    assert here.path_of(DIGEST).read_bytes() == stored


def cut(stored: bytes) -> bytes:
    return stored[:-1]


def longer(stored: bytes) -> bytes:
    return stored + b"x"


def other(stored: bytes) -> bytes:
    return encode_blob(CONTENT + b"x", CompressionSettings())


@pytest.mark.parametrize("damage", [cut, longer, other])
def test_what_is_not_what_its_digest_says_is_not_taken(tmp_path: Path, damage: object) -> None:
    assert callable(damage)
    stored = damage(encode_blob(CONTENT, CompressionSettings()))
    with pytest.raises(BlobDamagedError):
        copy_blob(elsewhere(tmp_path, stored), DIGEST, writer(tmp_path))
    assert [path for path in (tmp_path / "here").rglob("*") if path.is_file()] == []


def test_what_cannot_be_read_is_a_fault_of_the_other_place(tmp_path: Path) -> None:
    blobs = LooseBlobs(tmp_path / "elsewhere")
    blobs.path_of(DIGEST).mkdir(parents=True)
    with pytest.raises(BlobDamagedError, match="cannot be read"):
        copy_blob(blobs, DIGEST, writer(tmp_path))


def test_what_is_not_there_is_missing(tmp_path: Path) -> None:
    with pytest.raises(BlobMissingError):
        copy_blob(LooseBlobs(tmp_path), DIGEST, writer(tmp_path))
    assert not (tmp_path / "here").exists()
