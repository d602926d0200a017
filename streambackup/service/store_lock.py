"""Who works on a backup path, and which process of a node has what of its state.

The locks are of open file descriptions: one taken twice conflicts even within a process, whoever
asks takes nothing, and they end with their process, however it ends. One that was stopped keeps
them.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import struct
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from streambackup.errors import StoreBusyError
from streambackup.runtime.disk import FILE_MODE, Disk, storage_errors

LOCK_FILE = "service.lock"
SOURCES_LOCK_FILE = "sources.lock"
PROCESS_LOCK_FILE = "process.lock"
_FLOCK = struct.Struct("hhqqi0q")
"""The kernel's ``struct flock``: type, whence, start, length, process."""
_EXCLUSIVE = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
_SHARED = _FLOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)


def store_lock(root: Path, *, shared: bool = False) -> AbstractContextManager[None]:
    """Hold the lock of the store at *root* until the end of the body, or of the process: alone, or
    *shared* with others that share it.

    Raises:
        StoreBusyError: somebody holds it who does not share it, or somebody at all where it is not
            to be shared.
    """
    busy = StoreBusyError(
        f"another service works on {root}",
        hint="Stop it, or give this one a store of its own: with the embedded bus a store has "
        "one service.",
    )
    return _hold(root / LOCK_FILE, _SHARED if shared else _EXCLUSIVE, busy)


def sources_lock(state: Path) -> AbstractContextManager[None]:
    """Hold what only one process of the node may do: watch its sources.

    Raises:
        StoreBusyError: another one does.
    """
    busy = StoreBusyError(
        "another service of this node watches its sources",
        hint="Run this one with --role account --role blob.",
    )
    return _hold(state / SOURCES_LOCK_FILE, _EXCLUSIVE, busy)


@contextlib.contextmanager
def _hold(path: Path, kind: bytes, busy: StoreBusyError) -> Iterator[None]:
    try:
        descriptor = _lock(path, kind)
    except BlockingIOError as error:
        raise busy from error
    try:
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def process_directory(state: Path, disk: Disk) -> Iterator[Path]:
    """A directory for the caches of this process alone, until the end of the body: *state* itself,
    or the first of ``process-1``, ``process-2``, ... in it that no other process has.

    Who comes next finds the caches of the last that had it.
    """
    for number in itertools.count():
        directory = state / f"process-{number}" if number else state
        disk.make_directories(directory)
        with contextlib.suppress(BlockingIOError):
            descriptor = _lock(directory / PROCESS_LOCK_FILE, _EXCLUSIVE)
            break
    try:
        yield directory
    finally:
        os.close(descriptor)


def is_locked(root: Path) -> bool:
    """Whether a service works on the store at *root*."""
    return _is_held(root / LOCK_FILE)


def watches_sources(state: Path) -> bool:
    """Whether a service of the node with this *state* watches its sources."""
    return _is_held(state / SOURCES_LOCK_FILE)


def _lock(path: Path, kind: bytes) -> int:
    """Raises BlockingIOError where somebody has it."""
    with storage_errors(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, FILE_MODE)
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, kind)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _is_held(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        found = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, _EXCLUSIVE)
    finally:
        os.close(descriptor)
    return bool(_FLOCK.unpack(found)[0] != fcntl.F_UNLCK)
