"""Files of folders, reached through directories that were opened and recognised.

A path is no way to a folder's files: while folders are renamed it may lead into another one.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import NamedTuple, Self

from streambackup.sources.maildir.folders import Folder, directory_of
from streambackup.sources.maildir.identity import PATH_FLAGS, facts_of_directory

_ABSENT = (FileNotFoundError, NotADirectoryError)


class UnknownError(Exception):
    """It cannot be told now what is there."""


class At(NamedTuple):
    """A file: its name below the opened ``directory``, and its ``path`` for people."""

    directory: int
    name: bytes
    path: bytes


class OpenFolders:
    """The folders of the tree at *root* by item, each opened when it is first asked for; closed at
    the end of the block. ``displaced`` gathers those that were not where they were seen.
    """

    def __init__(self, root: bytes, by_item: Mapping[str, Folder]) -> None:
        self.by_item = by_item
        self.displaced: set[str] = set()
        self._root = root
        self._directories: dict[str, int | None] = {}
        self._closing = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closing.close()

    def at(self, folder: Folder, name: bytes) -> At | None:
        """The way to *name* in *folder*; None where the folder has no directory.

        Raises:
            UnknownError: the directory is not, or no longer, where it was seen.
        """
        if folder.item in self.displaced:
            raise UnknownError
        if folder.item not in self._directories:
            self._directories[folder.item] = self._open(folder)
        directory = self._directories[folder.item]
        path = directory_of(self._root, folder) + b"/" + name
        return None if directory is None else At(directory, name, path)

    def stat(self, folder: Folder, name: bytes) -> os.stat_result | None:
        """None where *name* is not in *folder*.

        Raises:
            UnknownError: see ``at``. OSError: the system does not say.
        """
        at = self.at(folder, name)
        if at is None:
            return None
        try:
            return os.stat(at.name, dir_fd=at.directory, follow_symlinks=False)
        except _ABSENT:
            return None

    def lacks(self, folder: Folder, name: bytes) -> bool:
        """True only where it is known that *name* is not in *folder*."""
        try:
            return self.stat(folder, name) is None
        except (UnknownError, OSError):
            return False

    def names(self, folder: Folder, part: bytes) -> Iterator[bytes]:
        """What *part* of *folder* holds, without what is hidden.

        Raises:
            UnknownError: see ``at``. OSError: it cannot be read.
        """
        at = self.at(folder, part)
        if at is None:
            return
        try:
            directory = os.open(at.name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=at.directory)
        except _ABSENT:
            return
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    if not entry.name.startswith("."):
                        yield part + b"/" + os.fsencode(entry.name)
        finally:
            os.close(directory)

    def _open(self, folder: Folder) -> int | None:
        try:
            directory = os.open(directory_of(self._root, folder), PATH_FLAGS)
        except OSError as error:
            if folder.identity is None and isinstance(error, FileNotFoundError):
                return None
            self.displaced.add(folder.item)
            raise UnknownError from error
        self._closing.callback(os.close, directory)
        if facts_of_directory(directory).identity != folder.identity:
            self.displaced.add(folder.item)
            raise UnknownError
        return directory
