"""Files that appear complete or not at all, many at once."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from streambackup.domain.digest import digest_name, digest_of
from streambackup.errors import NoSpaceError, StoreError, TargetError
from streambackup.runtime.disk import Disk
from streambackup.targets.port import Content, ContentError

_SYNCED_ONE_BY_ONE_MAX = 4
"""Up to so many files are synced each;
more of them together with all that the file system holds back.
"""


@contextlib.contextmanager
def target_errors(place: object) -> Iterator[None]:
    """What goes wrong while writing below *place*, as TargetError."""
    try:
        yield
    except (OSError, StoreError) as error:
        full = isinstance(error, NoSpaceError) or (
            isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        )
        what = (
            f"{error.filename or place}: {error.strerror}"
            if isinstance(error, OSError)
            else str(error)
        )
        raise TargetError(
            what,
            hint="Free some space and run the same command again; it goes on where it stopped."
            if full
            else "Name a directory that can be written.",
        ) from error


def owner_to_keep(root: Path) -> tuple[int, int] | None:
    """User and group that own *root*, where root restores into what belongs to another; None where
    new files need no change of owner.
    """
    if os.geteuid() != 0:
        return None
    status = root.stat()
    return (status.st_uid, status.st_gid) if (status.st_uid, status.st_gid) != (0, 0) else None


class Staging:
    """Files written aside, synced together and renamed into their places by ``publish``."""

    def __init__(self, disk: Disk, root: Path) -> None:
        self._disk = disk
        self._root = root
        self._ready: dict[Path, Path] = {}
        self._unsynced: set[Path] = set()

    def add(
        self,
        aside: Path,
        final: Path,
        data: bytes | Content,
        *,
        owner: tuple[int, int] | None = None,
    ) -> None:
        """Write *data* to *aside*, on the file system of *final*;
        a dead writer's leftover there is replaced.

        Raises:
            ContentError: and leaves nothing.
        """
        with contextlib.suppress(FileNotFoundError):
            self._disk.unlink(aside)
        file = self._disk.create(aside)
        try:
            for piece in data.pieces() if isinstance(data, Content) else (data,):
                file.write(piece)
        except ContentError:
            self._disk.unlink(aside)
            raise
        finally:
            file.close()
        if owner is not None:
            os.chown(aside, *owner)
        self._ready[final] = aside

    def drop(self, final: Path) -> None:
        """Take back what was added to become *final*, if anything was."""
        aside = self._ready.pop(final, None)
        if aside is not None:
            self._disk.unlink(aside)

    def set_time(self, final: Path, time_ms: int) -> bool:
        """Give the staged file its time of modification; False where the system cannot hold it."""
        aside = self._ready[final]
        try:
            os.utime(aside, ns=(time_ms * 1_000_000, time_ms * 1_000_000))
        except (OverflowError, OSError):
            return False
        return time_of(aside) == time_ms

    def make_directory(self, path: Path, *, owner: tuple[int, int] | None = None) -> None:
        """Make *path* and what is missing above it, at once for everyone to see."""
        for directory in self._disk.make_directories(path):
            self._unsynced.add(directory.parent)
            if owner is not None:
                os.chown(directory, *owner)

    def publish(self) -> None:
        """Everything added is in its place, and durable with the directories made, on return. May
        be repeated after an error.
        """
        if len(self._ready) <= _SYNCED_ONE_BY_ONE_MAX:
            for aside in self._ready.values():
                self._disk.sync_file(aside)
        else:
            self._disk.sync_all(self._root, self._ready.values())
        for final, aside in list(self._ready.items()):
            self._disk.rename(aside, final)
            self._unsynced.add(final.parent)
            del self._ready[final]
        for directory in sorted(self._unsynced):
            self._disk.sync_directory(directory)
            self._unsynced.remove(directory)


def time_of(path: Path) -> int:
    """When *path* was modified, in ms."""
    return path.stat().st_mtime_ns // 1_000_000


def holds_exactly(path: Path, data: bytes | Content) -> bool:
    """Whether the file at *path* has just these bytes."""
    digest = data.digest if isinstance(data, Content) else digest_of(data)
    return path.is_file() and digest_of_file(path) == digest


def digest_of_file(path: Path) -> str:
    """The digest of what the file holds, however large it is."""
    with path.open("rb") as file:
        return digest_name(hashlib.file_digest(file, "sha256").digest())
