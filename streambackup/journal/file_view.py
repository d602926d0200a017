"""A file's bytes, read when they are asked for: so much of a journal need never be in memory."""

from __future__ import annotations

import os
from pathlib import Path

from streambackup.errors import StoreError
from streambackup.runtime.disk import storage_errors


class FileView:
    """The file as long as it was when opened; renaming or deleting it later does not matter.

    One that is not *held* is opened anew for each slice, so that any number of them takes no more
    descriptors than one; it has to stay where it is.
    """

    _descriptor = -1

    def __init__(self, path: Path, *, held: bool = True) -> None:
        """Raises FileNotFoundError, and StoreError where the disk fails."""
        self._path = path
        descriptor = self._open()
        self._size = os.fstat(descriptor).st_size
        if held:
            self._descriptor = descriptor
        else:
            os.close(descriptor)

    def _open(self) -> int:
        with storage_errors(self._path):
            return os.open(self._path, os.O_RDONLY)

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice, /) -> bytes:
        """Raises StoreError: the disk failed, or a file that was not held is gone."""
        first, end, _ = part.indices(self._size)
        if self._descriptor >= 0:
            return self._read(self._descriptor, first, end)
        try:
            descriptor = self._open()
        except FileNotFoundError as error:
            raise StoreError(
                f"{self._path} was deleted while it was read", hint="Do it again."
            ) from error
        try:
            return self._read(descriptor, first, end)
        finally:
            os.close(descriptor)

    def _read(self, descriptor: int, first: int, end: int) -> bytes:
        pieces = []
        with storage_errors(self._path):
            while first < end:
                piece = os.pread(descriptor, end - first, first)
                if not piece:
                    break
                pieces.append(piece)
                first += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def __del__(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
