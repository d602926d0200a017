"""A file's bytes, read when they are asked for: so much of a journal need never be in memory."""

from __future__ import annotations

import os
from pathlib import Path


class FileView:
    """The file as long as it was when opened; renaming or deleting it later does not matter."""

    _descriptor = -1

    def __init__(self, path: Path) -> None:
        """Raises FileNotFoundError."""
        self._descriptor = os.open(path, os.O_RDONLY)
        self._size = os.fstat(self._descriptor).st_size

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice, /) -> bytes:
        first, end, _ = part.indices(self._size)
        pieces = []
        while first < end:
            piece = os.pread(self._descriptor, end - first, first)
            if not piece:
                break
            pieces.append(piece)
            first += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def __del__(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
