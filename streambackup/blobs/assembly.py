"""Assembly: chunks of one upload become content, checked on the way.

Nothing is stored under a wrong name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from streambackup.blobs.compression import CompressionSettings, compressor, encode_blob
from streambackup.blobs.loose import LooseWriter
from streambackup.domain.digest import digest_name
from streambackup.errors import InvalidEventError
from streambackup.events.blob import Chunk
from streambackup.journal.frame import LastRecord
from streambackup.runtime.disk import AppendFile

HELD_BYTES_MAX = 1024 * 1024
"""A blob up to this size is held in memory until all of it is there;
a bigger one goes to its file with every batch.
"""

BEGINNING_BYTES = 64 * 1024
"""A bigger blob's form is decided by this much of it, however small its chunks are."""


class Hold(NamedTuple):
    """Where an upload keeps its partition's position, and the record before that."""

    offset: int
    before: LastRecord


class Assembly:
    """One upload on its way. ``add`` is quick; ``write`` and ``drop`` block."""

    def __init__(self, chunk: Chunk, first_offset: int, hold: Hold) -> None:
        self.digest = chunk.digest
        self.upload = chunk.upload
        self.total = chunk.total
        self.first_offset = first_offset
        self.last_offset = first_offset
        self.hold = hold
        self.received = 0
        self.seen_bytes = 0
        """How much of its partition had been read when something came for it."""
        self.behind: int | None = None
        """Where to read on again, for one that was given up and whose rest comes after all."""
        self.found: str | None = None
        """The digest that the content has; None until ``write`` has seen all of it."""
        self.stored_size = 0
        self.path: Path | None = None
        """The file it is in."""
        self._held: list[bytes] = []
        self._file: _BigFile | None = None

    @property
    def complete(self) -> bool:
        return self.received == self.total

    def add(self, chunk: Chunk, offset: int) -> None:
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
        self._held.append(chunk.data)
        self.received += len(chunk.data)

    @property
    def held_bytes(self) -> int:
        """What ``write`` has to do."""
        return sum(map(len, self._held))

    def write(self, writer: LooseWriter, settings: CompressionSettings) -> None:
        """Bring what came into its stored form: of a big one all that there is, of a small one only
        the whole. A complete one has its digest then; a small one whose digest is wrong no file.

        Raises:
            NoSpaceError: what was written goes with ``drop``.
            StoreError: another owner took the file away, or the disk failed.
        """
        if self.total > HELD_BYTES_MAX:
            self._write_big(writer, settings)
        elif self.complete:
            self._write_small(writer, settings)

    def _write_small(self, writer: LooseWriter, settings: CompressionSettings) -> None:
        content = self._held[0] if len(self._held) == 1 else b"".join(self._held)
        self._held.clear()
        self.found = digest_name(hashlib.sha256(content).digest())
        if self.found == self.digest:
            data = encode_blob(content, settings)
            self.stored_size = len(data)
            file = writer.open()
            self.path = file.path
            try:
                file.write(data)
            finally:
                file.close()

    def _write_big(self, writer: LooseWriter, settings: CompressionSettings) -> None:
        if self._file is None:
            if not self.complete and self.held_bytes < BEGINNING_BYTES:
                return
            self._file = _BigFile(_beginning(self._held), writer, settings)
            self.path = self._file.path
        self._file.add(self._held, last=self.complete)
        self._held.clear()
        if self.complete:
            self.found, self.stored_size = self._file.digest(), self._file.stored_size

    def drop(self, writer: LooseWriter) -> None:
        """The upload ends without being stored."""
        self._held.clear()
        if self.path is not None:
            writer.discard(self.path)


class _BigFile:
    """Open only while something is added: there may be more of them than a process can open."""

    def __init__(
        self, beginning: bytes, writer: LooseWriter, settings: CompressionSettings
    ) -> None:
        self._compressor = compressor(beginning, settings)
        self._writer = writer
        self._hashed = hashlib.sha256()
        self.stored_size = 0
        file = writer.open()
        file.close()
        self.path = file.path

    def add(self, pieces: Iterable[bytes], *, last: bool) -> None:
        file = self._writer.go_on(self.path, self.stored_size)
        try:
            for data in pieces:
                self._hashed.update(data)
                self._write(file, self._compressor.compress(data))
            if last:
                self._write(file, self._compressor.flush())
        finally:
            file.close()

    def _write(self, file: AppendFile, data: bytes) -> None:
        file.write(data)
        self.stored_size += len(data)

    def digest(self) -> str:
        """Of the content that came."""
        return digest_name(self._hashed.digest())


def _beginning(pieces: Iterable[bytes]) -> bytes:
    """As much of *pieces* as decides about a form."""
    found = b""
    for piece in pieces:
        found += piece[: BEGINNING_BYTES - len(found)]
        if len(found) == BEGINNING_BYTES:
            break
    return found
