"""What tells a renamed directory from a new one."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable

import msgspec

PATH_FLAGS = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
"""To open a directory only to say which it is, and to reach what is in it."""

_AT_EMPTY_PATH = 0x1000
_STATX_BTIME = 0x800
_BIRTH_OFFSET = 0x50


class Directory(msgspec.Struct, frozen=True):
    """A directory as it is: ``birth_ns`` is 0 where the file system does not say.

    Inode numbers are given out again, soon and in order, so a number alone would take the folder
    made after another one's removal for the same one.
    """

    inode: int
    birth_ns: int
    changed_ms: int

    @property
    def identity(self) -> tuple[int, int]:
        return self.inode, self.birth_ns


def directory_at(path: bytes) -> Directory | None:
    """The directory at *path*, not behind a symbolic link; None where there is none."""
    try:
        descriptor = os.open(path, PATH_FLAGS)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        return facts_of_directory(descriptor)
    finally:
        os.close(descriptor)


def facts_of_directory(descriptor: int) -> Directory:
    """The directory opened as *descriptor*."""
    found = os.fstat(descriptor)
    return Directory(found.st_ino, _birth_ns(descriptor), found.st_ctime_ns // 1_000_000)


def _birth_ns(descriptor: int) -> int:
    """When it was made: Python's ``os.stat`` leaves that out on Linux."""
    if _statx is None:
        return 0
    buffer = ctypes.create_string_buffer(256)
    if _statx(descriptor, b"", _AT_EMPTY_PATH, _STATX_BTIME, buffer) != 0:
        return 0
    (given,) = struct.unpack_from("=I", buffer)
    seconds, nanoseconds = struct.unpack_from("=qI", buffer, _BIRTH_OFFSET)
    return int(seconds * 1_000_000_000 + nanoseconds) if given & _STATX_BTIME else 0


def _find_statx() -> Callable[..., int] | None:
    try:
        return ctypes.CDLL(None, use_errno=True).statx
    except (OSError, AttributeError):
        return None


_statx = _find_statx()
