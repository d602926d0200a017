"""Assembly: chunks of one upload become content, checked on the way.

Nothing is stored under a wrong name.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from streambackup.blobs.compression import CompressionSettings, Compressor, compressor
from streambackup.blobs.loose import LooseWriter
from streambackup.domain.digest import digest_name
from streambackup.errors import InvalidEventError
from streambackup.events.blob import Chunk
from streambackup.runtime.disk import AppendFile

HELD_BYTES_MAX = 1024 * 1024
"""A blob up to this size is held in memory until its batch is stored;
a bigger one goes to a file at once.
"""

BEGINNING_BYTES = 64 * 1024
"""A bigger blob's form is decided by this much of it, however small its chunks are."""


class Assembly:
    """One upload on its way. Blocking where it is big."""

    def __init__(self, first: Chunk, offset: int, seen_bytes: int) -> None:
        self.digest = first.digest
        self.upload = first.upload
        self.total = first.total
        self.first_offset = offset
        self.last_offset = offset
        self.seen_bytes = seen_bytes
        self.received = 0
        self.behind: int | None = None
        """Where to read again, for an upload that was given up and whose rest comes after all."""
        self._held: list[bytes] = []
        self._big: _BigFile | None = None

    @property
    def complete(self) -> bool:
        return self.received == self.total

    def add(
        self, chunk: Chunk, offset: int, writer: LooseWriter, settings: CompressionSettings
    ) -> None:
        """Take the next chunk.

        Raises:
            InvalidEventError: it does not follow the one before, or belongs to a blob of another
            size.
        """
        if chunk.total != self.total:
            raise InvalidEventError(
                f"the chunk says {chunk.total} bytes in all, the upload began with {self.total}"
            )
        if chunk.offset != self.received:
            raise InvalidEventError(
                f"the chunk begins at {chunk.offset}, the upload is at {self.received}"
            )
        if chunk.offset + len(chunk.data) > self.total:
            raise InvalidEventError("the chunk goes beyond the blob's end")
        self.last_offset = offset
        if self.total <= HELD_BYTES_MAX:
            self._held.append(chunk.data)
        else:
            self._add_big(chunk.data, writer, settings)
        self.received += len(chunk.data)

    def _add_big(self, data: bytes, writer: LooseWriter, settings: CompressionSettings) -> None:
        if self._big is None:
            self._held.append(data)
            if self.received + len(data) < BEGINNING_BYTES:
                return
            data = b"".join(self._held)
            self._held.clear()
            self._big = _BigFile(data, writer, settings)
        self._big.add(data)

    def content(self) -> bytes:
        """What a small, complete upload holds; its digest is not checked yet."""
        assert self._big is None
        return self._held[0] if len(self._held) == 1 else b"".join(self._held)

    @property
    def big(self) -> bool:
        return self._big is not None

    def finish_big(self) -> tuple[Path, str, int]:
        """Close a big, complete upload: its file, the digest of what came, and its stored size."""
        assert self._big is not None
        return self._big.finish()

    def drop(self, writer: LooseWriter) -> None:
        """The upload ends without being stored."""
        if self._big is not None:
            self._big.close()
            writer.discard(self._big.path)


class _BigFile:
    def __init__(
        self, beginning: bytes, writer: LooseWriter, settings: CompressionSettings
    ) -> None:
        self._file: AppendFile = writer.open()
        self._compressor: Compressor = compressor(beginning, settings)
        self._hashed = hashlib.sha256()
        self._stored = 0

    @property
    def path(self) -> Path:
        return self._file.path

    def add(self, data: bytes) -> None:
        self._hashed.update(data)
        self._write(self._compressor.compress(data))

    def _write(self, data: bytes) -> None:
        self._stored += len(data)
        self._file.write(data)

    def finish(self) -> tuple[Path, str, int]:
        self._write(self._compressor.flush())
        self.close()
        return self.path, digest_name(self._hashed.digest()), self._stored

    def close(self) -> None:
        self._file.close()
