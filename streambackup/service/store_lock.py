"""Who works on a backup path: one service."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from streambackup.errors import StoreBusyError
from streambackup.runtime.disk import FILE_MODE, storage_errors

LOCK_FILE = "service.lock"
_FLOCK = struct.Struct("hhqqi0q")
"""The kernel's ``struct flock``: type, whence, start, length, process."""
_EXCLUSIVE = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)


@contextlib.contextmanager
def store_lock(root: Path) -> Iterator[None]:
    """Hold the lock of the store at *root* until the end of the body, or of the process.

    It is an open file description lock: one taken twice conflicts even within a process, and
    whoever asks (``is_locked``) takes nothing.

    Raises:
        StoreBusyError: somebody holds it.
    """
    path = root / LOCK_FILE
    with storage_errors(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, FILE_MODE)
    try:
        try:
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _EXCLUSIVE)
        except BlockingIOError as error:
            raise StoreBusyError(
                f"another service works on {root}",
                hint="Stop it, or give this one a store of its own: a store has one service.",
            ) from error
        yield
    finally:
        os.close(descriptor)


def is_locked(root: Path) -> bool:
    """Whether a service works on the store at *root*."""
    try:
        descriptor = os.open(root / LOCK_FILE, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        found = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, _EXCLUSIVE)
    finally:
        os.close(descriptor)
    return bool(_FLOCK.unpack(found)[0] != fcntl.F_UNLCK)
