"""A disk of a simulated world that writes down what it was asked to do."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from streambackup.runtime.disk import AppendFile
from streambackup.testing.lossy_disk import LossyFile
from streambackup.testing.simulation.shared_disk import SharedDisk
from streambackup.testing.simulation.storage_trace import (
    AllSynced,
    Created,
    Cut,
    DirectorySynced,
    Image,
    Made,
    Moved,
    Operation,
    Removed,
    Synced,
    Written,
)


class RecordingDisk(SharedDisk):
    """Paths are relative to its root; ``base`` is what it found there. With each operation it notes
    what ``look`` says at that time.
    """

    def __init__(self, root: Path, *, syncfs: bool) -> None:
        super().__init__(root, syncfs=syncfs)
        self.base = read_image(root)
        self.operations: list[Operation] = []
        self.look: Callable[[], Any] = lambda: None
        self.seen: list[Any] = []
        self._files: dict[int, int] = {}

    def _add(self, operation: Operation) -> None:
        self.operations.append(operation)
        self.seen.append(self.look())

    def _at(self, path: Path) -> Path:
        return path.relative_to(self.root)

    def _file(self, inode: int) -> int:
        """Numbers of inodes may come again."""
        return self._files.setdefault(inode, len(self._files))

    def _open(self, path: Path, flags: int) -> AppendFile:
        new = not path.exists()
        file = super()._open(path, flags)
        if new:
            inode = os.fstat(file.descriptor).st_ino
            self._add(Created(self._at(path), self._file(inode)))
        return file

    def make_directories(self, path: Path) -> list[Path]:
        made = super().make_directories(path)
        for directory in made:
            self._add(Made(self._at(directory)))
        return made

    def rename(self, source: Path, target: Path) -> None:
        super().rename(source, target)
        self._add(Moved(self._at(source), self._at(target)))

    def unlink(self, path: Path) -> None:
        super().unlink(path)
        self._add(Removed(self._at(path)))

    def remove_directory(self, path: Path) -> None:
        there = path.is_dir()
        super().remove_directory(path)
        if there and not path.is_dir():
            self._add(Removed(self._at(path)))

    def sync_file(self, path: Path) -> None:
        super().sync_file(path)
        if path.is_dir():
            self._add(DirectorySynced(self._at(path)))
        elif path.stat().st_ino in self._files:
            self._add(Synced(self._file(path.stat().st_ino)))

    def _sync_file_system(self, root: Path) -> bool:
        done = super()._sync_file_system(root)
        if done:
            self._add(AllSynced())
        return done

    def write_to(self, file: LossyFile, data: bytes, life: int) -> None:
        super().write_to(file, data, life)
        inode = os.fstat(file.descriptor).st_ino
        self._add(Written(self._file(inode), data))

    def sync_open(self, file: LossyFile, life: int) -> None:
        super().sync_open(file, life)
        self._add(Synced(self._file(os.fstat(file.descriptor).st_ino)))

    def cut_open(self, file: LossyFile, length: int, life: int) -> None:
        super().cut_open(file, length, life)
        self._add(Cut(self._file(os.fstat(file.descriptor).st_ino), length))


def read_image(root: Path) -> Image:
    """What is in the directory *root*."""
    return {
        path.relative_to(root): None if path.is_dir() else path.read_bytes()
        for path in sorted(root.rglob("*"))
    }


def write_image(root: Path, image: Image) -> None:
    """Make a directory *root* that holds *image*."""
    root.mkdir()
    for path, content in sorted(image.items()):
        if content is None:
            (root / path).mkdir()
        else:
            (root / path).write_bytes(content)
