"""Taking a blob over from another place: the bytes as they are stored there, if they are right."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from streambackup.blobs.compression import NotInFormError, decode_blob
from streambackup.blobs.loose import LooseBlobs, LooseWriter
from streambackup.domain.digest import digest_name
from streambackup.errors import BlobDamagedError, BlobMissingError, StoreError


class CopiedBlob(NamedTuple):
    """A verified copy, on its way; its place is given by ``put_in_place``."""

    path: Path
    size: int
    stored_size: int


def copy_blob(source: LooseBlobs, digest: str, writer: LooseWriter) -> CopiedBlob:
    """Copy *digest* from *source*; what is hashed is what is written.

    Raises:
        BlobMissingError: it is not there. BlobDamagedError: it cannot be read, or is not what the
        digest says. StoreError: our disk failed. Nothing is left behind.
    """
    if not source.exists(digest):
        raise BlobMissingError(f"the content {digest} is not there")
    file = writer.open()
    stored_size = 0

    def written() -> Iterator[bytes]:
        nonlocal stored_size
        for piece in _readable(source, digest):
            file.write(piece)
            stored_size += len(piece)
            yield piece

    try:
        size = _verified_size(digest, written())
    except BaseException:
        writer.discard(file.path)
        raise
    finally:
        file.close()
    return CopiedBlob(file.path, size, stored_size)


def _verified_size(digest: str, stored: Iterator[bytes]) -> int:
    """The size of the content behind *stored* pieces, if it is what *digest* says."""
    size, hashed = 0, hashlib.sha256()
    try:
        for piece in decode_blob(stored):
            hashed.update(piece)
            size += len(piece)
    except NotInFormError as error:
        raise BlobDamagedError(f"the blob {digest} is damaged: {error}") from error
    if digest_name(hashed.digest()) != digest:
        raise BlobDamagedError(f"the blob {digest} holds other content than its digest says")
    return size


def _readable(source: LooseBlobs, digest: str) -> Iterator[bytes]:
    """The bytes of *digest* as they are in *source*, whose faults are no fault of our disk."""
    try:
        yield from source.stored_pieces(digest)
    except FileNotFoundError as error:
        raise BlobMissingError(f"the content {digest} is not there") from error
    except StoreError as error:
        raise BlobDamagedError(f"the blob {digest} cannot be read: {error}") from error
