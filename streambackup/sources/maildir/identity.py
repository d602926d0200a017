"""What tells a renamed directory from a new one."""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Callable

import msgspec

_AT_FDCWD = -100
_AT_SYMLINK_NOFOLLOW = 0x100
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
        found = os.stat(path, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISDIR(found.st_mode):
        return None
    return Directory(found.st_ino, _birth_ns(path), found.st_ctime_ns // 1_000_000)


def _birth_ns(path: bytes) -> int:
    """When *path* was made: Python's ``os.stat`` leaves it out on Linux."""
    if _statx is None:
        return 0
    buffer = ctypes.create_string_buffer(256)
    if _statx(_AT_FDCWD, path, _AT_SYMLINK_NOFOLLOW, _STATX_BTIME, buffer) != 0:
        return 0
    (given,) = struct.unpack_from("=I", buffer)
    seconds, nanoseconds = struct.unpack_from("=qI", buffer, _BIRTH_OFFSET)
    return seconds * 1_000_000_000 + nanoseconds if given & _STATX_BTIME else 0


def _find_statx() -> Callable[..., int] | None:
    try:
        return ctypes.CDLL(None, use_errno=True).statx
    except (OSError, AttributeError):
        return None


_statx = _find_statx()
