"""Reading one message's file."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat

import msgspec

from streambackup.domain.digest import digest_name
from streambackup.sources.maildir.headers import HEADER_BYTES_MAX, Header, parse_header
from streambackup.sources.maildir.opened import At

READING_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""To open what should be a file of the tree itself, and not to wait should it be something else."""

_MTIME_NS_MAX = 2**63 - 1  # some file systems know times that no integer on the wire does
_READ_BYTES = 1024 * 1024


class FileFacts(msgspec.Struct, frozen=True, array_like=True):
    """What tells, without reading it, that a file is as it was read. ``changed_ms`` is left out of
    comparisons: it moves with the file's name too.
    """

    inode: int
    size: int
    mtime_ns: int


class Reading(msgspec.Struct, frozen=True):
    facts: FileFacts
    changed_ms: int
    digest: str
    header: Header


def facts_of(found: os.stat_result) -> FileFacts:
    mtime_ns = min(max(found.st_mtime_ns, -_MTIME_NS_MAX), _MTIME_NS_MAX)
    return FileFacts(found.st_ino, found.st_size, mtime_ns)


def read_message(at: At) -> Reading | None:
    """The regular file *at* its place; None where there is none, or it changed while it was read.

    Raises:
        OSError: it is there and cannot be read.
    """
    try:
        descriptor = os.open(at.name, READING_FLAGS, dir_fd=at.directory)
    except (FileNotFoundError, NotADirectoryError):
        return None
    with contextlib.closing(os.fdopen(descriptor, "rb", buffering=0)) as file:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            return None
        hasher = hashlib.sha256()
        head = b""
        size = 0
        while data := file.read(_READ_BYTES):
            hasher.update(data)
            head = head or data[:HEADER_BYTES_MAX]
            size += len(data)
        after = os.fstat(descriptor)
    if facts_of(before) != facts_of(after) or size != after.st_size:
        return None
    return Reading(
        facts_of(after),
        after.st_ctime_ns // 1_000_000,
        digest_name(hasher.digest()),
        parse_header(head),
    )
