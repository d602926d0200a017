"""A disk that loses power, under several simulated processes, each of which may die at any step."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from streambackup.errors import NoSpaceError, StoreError
from streambackup.runtime.disk import AppendFile
from streambackup.testing.lossy_disk import LossyDisk, LossyFile
from streambackup.testing.simulation.process import DeadProcessError, Process
from streambackup.testing.virtual_loop import HOST, VirtualLoop

PAUSE_IN_WRITE = 0.1


class SharedDisk(LossyDisk):
    """Asks the process that a step belongs to before it does it; one that dies while it writes has
    written half.

    A failing sync of the whole file system loses what its caller wrote. That Linux may lose what
    others wrote as well, and tell only the caller, is not simulated.
    """

    def __init__(self, root: Path, *, syncfs: bool = True) -> None:
        super().__init__(root, syncfs=syncfs)
        self._meant: list[int] | None = None
        self.has_failed = False
        """Whether a sync ever failed otherwise than for want of space: bytes are damaged then."""

    def _pass(self, what: str, path: Path) -> None:
        host = HOST.get()
        if isinstance(host, Process):
            host.pass_step(what, path)

    def _draw(self) -> str:
        return f"{HOST.get().random.getrandbits(64):016x}"

    def _open(self, path: Path, flags: int) -> AppendFile:
        self._pass("open", path)
        return super()._open(path, flags)

    def make_directories(self, path: Path) -> list[Path]:
        self._pass("mkdir", path)
        return super().make_directories(path)

    def rename(self, source: Path, target: Path) -> None:
        self._pass("rename", target)
        super().rename(source, target)

    def unlink(self, path: Path) -> None:
        self._pass("unlink", path)
        super().unlink(path)

    def remove_directory(self, path: Path) -> None:
        self._pass("rmdir", path)
        super().remove_directory(path)

    def sync_file(self, path: Path) -> None:
        self._pass("sync", path)
        super().sync_file(path)

    def sync_all(self, root: Path, written: Iterable[Path]) -> None:
        files = sorted(written)  # Sets of them differ from run to run.
        if self._syncfs:
            self._pass("sync all", root)  # What parks there is parked before anything is meant.
            self._meant = [path.stat().st_ino for path in files if path.is_file()]
        try:
            super().sync_all(root, files)
        finally:
            self._meant = None

    def _sync(self, path: Path, inodes: Iterable[int], life: int | None = None) -> None:
        try:
            super()._sync(path, inodes if self._meant is None else self._meant, life)
        except StoreError as error:
            self.has_failed = self.has_failed or not isinstance(error, NoSpaceError)
            raise

    def write_to(self, file: LossyFile, data: bytes, life: int) -> None:
        try:
            self._pass("write", file.path)
        except DeadProcessError as death:
            if death.at_once:
                AppendFile.write(file, data[: len(data) // 2])
            raise
        host = HOST.get()
        if isinstance(host, Process) and host.random.random() < PAUSE_IN_WRITE:
            half = len(data) // 2
            super().write_to(file, data[:half], life)
            VirtualLoop.park()
            self._pass("write the rest", file.path)
            data = data[half:]
        super().write_to(file, data, life)

    def sync_open(self, file: LossyFile, life: int) -> None:
        self._pass("sync open", file.path)
        super().sync_open(file, life)

    def cut_open(self, file: LossyFile, length: int, life: int) -> None:
        self._pass("cut", file.path)
        super().cut_open(file, length, life)
