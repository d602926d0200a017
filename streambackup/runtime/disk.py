"""The file system, as far as durability goes: everything that a crash may undo passes through here.

All calls block; callers hand them to threads a batch at a time. ``testing/lossy_disk.py`` is a Disk
that forgets what was not synced.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from streambackup.errors import NoSpaceError, StoreError

FILE_MODE = 0o600
DIRECTORY_MODE = 0o700
_FULL = {errno.ENOSPC, errno.EDQUOT}


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn what the operating system says about *path* into our errors;
    a missing file stays FileNotFoundError.
    """
    try:
        yield
    except (FileNotFoundError, FileExistsError):
        raise
    except OSError as error:
        if error.errno in _FULL:
            raise NoSpaceError(
                f"no space left for {path}",
                hint="Free some space; the work resumes by itself.",
            ) from error
        raise StoreError(f"{path}: {error.strerror}") from error


class AppendFile:
    """A file that only grows, but for what could not be synced. Nothing is durable before ``sync``
    returned.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor

    def write(self, data: bytes | memoryview) -> None:
        """Append all of *data*. After an error any part of it may be in the file."""
        view = memoryview(data)
        with storage_errors(self.path):
            while view:
                view = view[os.write(self.descriptor, view) :]

    def sync(self) -> None:
        with storage_errors(self.path):
            os.fdatasync(self.descriptor)

    def cut(self, length: int) -> None:
        """Take away what is behind *length*: bytes that a sync failed for, and nobody was promised.

        A later sync would succeed without them, while readers still find them in memory.
        """
        with storage_errors(self.path):
            os.ftruncate(self.descriptor, length)

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class Disk:
    """The real file system."""

    def create(self, path: Path) -> AppendFile:
        """A new file, which must not exist yet.

        Its name is durable after ``sync_directory`` of its parent.
        """
        return self._open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND)

    def append(self, path: Path) -> AppendFile:
        """A file to append to, made if absent."""
        return self._open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def _open(self, path: Path, flags: int) -> AppendFile:
        with storage_errors(path):
            return AppendFile(path, os.open(path, flags, FILE_MODE))

    def append_lines(self, path: Path) -> AppendFile:
        """A file to append whole lines to, made if absent. Durable after ``sync_all``.

        A line that an unfinished append left without its end gets one, so that the next is not
        glued to it.
        """
        file = self._open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        try:
            with storage_errors(path):
                size = os.fstat(file.descriptor).st_size
                torn = size > 0 and os.pread(file.descriptor, 1, size - 1) != b"\n"
            if torn:
                file.write(b"\n")
        except BaseException:
            file.close()
            raise
        return file

    def make_directories(self, path: Path) -> list[Path]:
        """*path* and its parents.

        Returns those that are new; durable once their parents are synced.
        """
        missing = []
        while not path.is_dir():
            missing.append(path)
            path = path.parent
        missing.reverse()
        for directory in missing:
            with storage_errors(directory), contextlib.suppress(FileExistsError):
                directory.mkdir(mode=DIRECTORY_MODE)
        return missing

    def ensure_directories(self, path: Path) -> None:
        """*path* and its parents, durable on return."""
        for directory in self.make_directories(path):
            self.sync_directory(directory.parent)

    def secure_directories(self, path: Path, root: Path) -> None:
        """*path*, its parents below *root* and the names in all of them, durable on return whoever
        made them: someone that did not live to sync them, perhaps.
        """
        self.make_directories(path)
        for directory in (path, *directories_between(path, root)):
            self.sync_directory(directory)

    def replace(self, path: Path, data: bytes) -> None:
        """Give *path* new contents, all or none of them after a crash; durable on return."""
        temporary = path.with_name(f".{path.name}.{self._draw()}.tmp")
        file = self.create(temporary)
        try:
            file.write(data)
            file.sync()
        except NoSpaceError:
            self.unlink(temporary)
            raise
        finally:
            file.close()
        self.rename(temporary, path)
        self.sync_directory(path.parent)

    def _draw(self) -> str:
        """What tells a temporary name from all others: on a shared mount a process of another node
        may have our number, and write the same file.
        """
        return secrets.token_hex(8)

    def rename(self, source: Path, target: Path) -> None:
        """Durable after ``sync_directory`` of the parents."""
        with storage_errors(target):
            os.rename(source, target)

    def unlink(self, path: Path) -> None:
        with storage_errors(path):
            os.unlink(path)

    def remove_directory(self, path: Path) -> None:
        """Remove *path* if it is there and empty. Durable after ``sync_directory`` of its
        parent.
        """
        with contextlib.suppress(FileNotFoundError), storage_errors(path):
            try:
                os.rmdir(path)
            except OSError as error:
                if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                    raise

    def sync_file(self, path: Path) -> None:
        """Make durable what anyone wrote to *path*."""
        with storage_errors(path):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def sync_directory(self, path: Path) -> None:
        """Make the names in *path* durable."""
        self.sync_file(path)

    def sync_all(self, root: Path, written: Iterable[Path]) -> None:
        """Make every file in *written* durable that is still there, with every directory between it
        and *root*, in one go where possible.

        One ``syncfs`` of the file system that holds *root*; file by file where the system has none.
        """
        files = list(written)
        if self._sync_file_system(root):
            return
        for path in files:
            with contextlib.suppress(
                FileNotFoundError
            ):  # A newer owner has merged it into another.
                self.sync_file(path)
        # Of directories too that someone else made and may not have lived to sync.
        parents = (parent for path in files for parent in directories_between(path, root))
        for directory in dict.fromkeys(parents):
            self.sync_directory(directory)

    def _sync_file_system(self, root: Path) -> bool:
        """Sync all of the file system that holds *root*; False where the system cannot."""
        if _syncfs is None:
            return False
        with storage_errors(root):
            descriptor = os.open(root, os.O_RDONLY)
            try:
                if _syncfs(descriptor) != 0:
                    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            finally:
                os.close(descriptor)
        return True


def directories_between(path: Path, root: Path) -> list[Path]:
    """The directories that lead from *root*, itself included, down to *path*."""
    return [parent for parent in path.parents if parent == root or root in parent.parents]


def _find_syncfs() -> Callable[[int], int] | None:
    try:
        syncfs: Callable[[int], int] = ctypes.CDLL(None, use_errno=True).syncfs
    except (OSError, AttributeError):
        return None
    return syncfs


_syncfs = _find_syncfs()
