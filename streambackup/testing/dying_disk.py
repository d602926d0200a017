"""A real disk whose process is killed (SIGKILL) at its n-th call, a write half done."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from pathlib import Path

from streambackup.runtime.disk import AppendFile, Disk


class DyingDisk(Disk):
    """Counts calls from 1; the process dies before call *die_at* does anything."""

    def __init__(self, die_at: int) -> None:
        self._die_at = die_at
        self._calls = 0

    def count(self) -> bool:
        """Whether the call that is about to be made is the last."""
        self._calls += 1
        return self._calls == self._die_at

    def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def create(self, path: Path) -> AppendFile:
        self._pass()
        return DyingFile(super().create(path), self)

    def append(self, path: Path) -> AppendFile:
        self._pass()
        return DyingFile(super().append(path), self)

    def append_lines(self, path: Path) -> AppendFile:
        self._pass()
        return DyingFile(super().append_lines(path), self)

    def make_directories(self, path: Path) -> list[Path]:
        self._pass()
        return super().make_directories(path)

    def rename(self, source: Path, target: Path) -> None:
        self._pass()
        super().rename(source, target)

    def remove_directory(self, path: Path) -> None:
        self._pass()
        super().remove_directory(path)

    def sync_file(self, path: Path) -> None:
        self._pass()
        super().sync_file(path)

    def sync_all(self, root: Path, written: Iterable[Path]) -> None:
        self._pass()
        super().sync_all(root, written)

    def _pass(self) -> None:
        if self.count():
            self.die()


class DyingFile(AppendFile):
    """A file of a DyingDisk; a write that is the last call writes half."""

    def __init__(self, file: AppendFile, disk: DyingDisk) -> None:
        super().__init__(file.path, file.descriptor)
        self._disk = disk

    def write(self, data: bytes | memoryview) -> None:
        if self._disk.count():
            super().write(bytes(data)[: len(data) // 2])
            self._disk.die()
        super().write(data)

    def sync(self) -> None:
        if self._disk.count():
            self._disk.die()
        super().sync()
