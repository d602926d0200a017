"""A disk that loses power: what was not synced is gone, or half there, after ``crash``.

It works in a real directory, so that everything can read it as usual. Beside that it keeps what
would survive: of each file the length that was synced, of each directory the names. What a sync
failed for reads as usual until the crash, and is zeros then, whatever is synced later. Every file
has a second, hidden name in a directory of the disk's own, so that one that was unlinked or
replaced without a sync can come back.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from streambackup.runtime.disk import AppendFile, Disk, storage_errors

_DIRECTORY = -1
ENTRY_CHANCE = 0.5
"""How often a name that was not synced is there all the same."""


class PowerCutError(Exception):
    """The disk stopped at the step it was told to; nothing it is asked after that happens."""


class _Change(NamedTuple):
    """A change of names that no sync has made durable: *path* is now *inode*, or with None gone.

    A rename also takes the name *source* away, both or neither.
    """

    path: Path
    inode: int | None
    source: Path | None = None


class LossyDisk(Disk):
    """A Disk below *root*, which it finds durable as it is.

    ``steps`` counts what it was asked to do: opening, writing, syncing, making and renaming. From
    step ``dies_at`` on nothing happens but PowerCutError, a write half done. From write
    ``full_at_write`` or sync ``full_at_sync`` on there is no space until ``make_space``. Sync
    ``fails_at_sync`` fails once. All count from 1. Without ``syncfs`` files are synced one by one.
    """

    def __init__(
        self,
        root: Path,
        *,
        dies_at: int | None = None,
        full_at_write: int | None = None,
        full_at_sync: int | None = None,
        fails_at_sync: int | None = None,
        syncfs: bool = True,
    ) -> None:
        self.root = root
        self.dies_at = dies_at
        self.full_at_write = full_at_write
        self.full_at_sync = full_at_sync
        self.fails_at_sync = fails_at_sync
        self.count_anew()
        self.life = 0
        self._syncfs = syncfs
        self._lock = threading.RLock()
        self._hidden = root.parent / f".{root.name}.nodes"
        self._hidden.mkdir(exist_ok=True)
        self._take_as_durable()

    def _take_as_durable(self) -> None:
        """Everything below the root is durable now."""
        self._names: dict[Path, int] = {}
        self._lengths: dict[int, int] = {}
        self._lost: dict[int, list[tuple[int, int]]] = {}
        self._changes: list[_Change] = []
        shutil.rmtree(self._hidden)
        self._hidden.mkdir()
        for path in sorted(self.root.rglob("*")):
            self._names[path] = self._known(path)
            if path.is_file():
                self._lengths[self._known(path)] = path.stat().st_size

    def _known(self, path: Path) -> int:
        """The identity of what is at *path*; a file gets its hidden name."""
        if path.is_dir():
            return _DIRECTORY
        inode = path.stat().st_ino
        if not (self._hidden / str(inode)).exists():
            os.link(path, self._hidden / str(inode))
        return inode

    # What it is told to do.

    def count_anew(self) -> None:
        """Steps, writes and syncs count from 1 again."""
        self.steps = self.writes = self.syncs = 0

    def make_space(self) -> None:
        """Somebody has freed some space."""
        self.full_at_write = self.full_at_sync = None

    def revive(self) -> None:
        """The process was killed and starts again; the machine kept what it was given."""
        self.life += 1
        self.dies_at = None

    def crash(self, seed: int) -> None:
        """Power is lost and comes back: what was not synced is gone, at random not all of it."""
        with self._lock:
            chance = random.Random(seed)
            survivors = {**self._names, **self._unwatched()}
            for change in self._surviving(chance):
                _apply(change, survivors)
            tails: dict[int, bytes] = {}
            for _, inode in sorted(
                survivors.items()
            ):  # Not by inode: those differ from run to run.
                if inode not in tails:
                    tails[inode] = self._tail(inode, chance)
            shutil.rmtree(self.root)
            self.root.mkdir()
            for path, inode in sorted(survivors.items()):
                if not path.parent.is_dir():
                    continue
                if inode == _DIRECTORY:
                    path.mkdir(mode=0o700)
                else:
                    path.write_bytes(tails[inode])
            self._take_as_durable()
            self.revive()

    def _unwatched(self) -> dict[Path, int]:
        """What somebody else made here, not through this disk: taken as durable."""
        watched = {change.path for change in self._changes} | self._names.keys()
        found = {p: self._known(p) for p in self.root.rglob("*") if p not in watched}
        for inode in found.values():
            if inode != _DIRECTORY:
                self._lengths[inode] = (self._hidden / str(inode)).stat().st_size
        return found

    def _surviving(self, chance: random.Random) -> list[_Change]:
        """Of each directory's changes that were not synced, the first few."""
        directories = sorted({change.path.parent for change in self._changes})
        left = {
            directory: 0
            if chance.random() > ENTRY_CHANCE
            else chance.randint(0, sum(c.path.parent == directory for c in self._changes))
            for directory in directories
        }
        surviving = []
        for change in self._changes:
            if left[change.path.parent] > 0:
                left[change.path.parent] -= 1
                surviving.append(change)
        return surviving

    def _tail(self, inode: int, chance: random.Random) -> bytes:
        """A file as it comes back: cut behind what was synced, or with zeros where data was due."""
        if inode == _DIRECTORY:
            return b""
        whole = bytearray((self._hidden / str(inode)).read_bytes())
        for first, end in self._lost.get(inode, ()):
            whole[first:end] = bytes(end - first)
        data = bytes(whole)
        synced = self._lengths.get(inode, 0)
        kept = chance.choice([synced, len(data), chance.randint(synced, len(data))])
        zeros = chance.randint(0, len(data) - kept) if chance.random() < 0.25 else 0
        return data[:kept] + bytes(zeros)

    # The disk.

    def _step(self, life: int | None = None) -> None:
        if self._is_last_step(life):
            raise PowerCutError(f"the power went out at step {self.steps}")

    def _is_last_step(self, life: int | None) -> bool:
        """Count a step; True where it is the one that the power goes out in."""
        self.steps += 1
        if life is not None and life != self.life:
            raise PowerCutError("the file was opened before the power cut")
        if self.dies_at is not None and self.steps > self.dies_at:
            raise PowerCutError(f"no power since step {self.dies_at}")
        return self.steps == self.dies_at

    def _open(self, path: Path, flags: int) -> AppendFile:
        with self._lock:
            self._step()
            new = not path.exists()
            file = super()._open(path, flags)
            if new:
                self._changes.append(_Change(path, self._known(path)))
            return LossyFile(file, self)

    def make_directories(self, path: Path) -> list[Path]:
        with self._lock:
            self._step()
            made = super().make_directories(path)
            self._changes += [_Change(directory, _DIRECTORY) for directory in made]
            return made

    def rename(self, source: Path, target: Path) -> None:
        with self._lock:
            self._step()
            inode = self._known(source)
            super().rename(source, target)
            self._changes.append(_Change(target, inode, source))

    def unlink(self, path: Path) -> None:
        with self._lock:
            self._step()
            self._known(path)
            super().unlink(path)
            self._changes.append(_Change(path, None))

    def remove_directory(self, path: Path) -> None:
        with self._lock:
            self._step()
            was_there = path.is_dir()
            super().remove_directory(path)
            if was_there and not path.is_dir():
                self._changes.append(_Change(path, None))

    def sync_file(self, path: Path) -> None:
        with self._lock:
            inode = self._known(path)
            self._sync(path, [inode])
            if inode == _DIRECTORY:
                self._keep_names(path)
            else:
                self._lengths[inode] = path.stat().st_size

    def _sync_file_system(self, root: Path) -> bool:
        if not self._syncfs:
            return False
        with self._lock:
            self._sync(root, [int(node.name) for node in self._hidden.iterdir()])
            for change in self._changes:
                _apply(change, self._names)
            self._changes.clear()
            for node in self._hidden.iterdir():
                self._lengths[int(node.name)] = node.stat().st_size
        return True

    def _keep_names(self, directory: Path) -> None:
        for change in [c for c in self._changes if c.path.parent == directory]:
            _apply(change, self._names)
            self._changes.remove(change)

    def _sync(self, path: Path, inodes: Iterable[int], life: int | None = None) -> None:
        """Count a sync of *inodes*, and let it fail if it shall: what it was for is lost then."""
        self._step(life)
        self.syncs += 1
        code = None
        if self.syncs == self.fails_at_sync:
            code = errno.EIO
        elif self.full_at_sync is not None and self.syncs >= self.full_at_sync:
            code = errno.ENOSPC
        if code is None:
            return
        for inode in inodes:
            self._lose_unsynced(inode)
        with storage_errors(path):
            raise OSError(code, os.strerror(code))

    def _lose_unsynced(self, inode: int) -> None:
        if inode != _DIRECTORY:
            synced = self._lengths.get(inode, 0)
            self._lost.setdefault(inode, []).append(
                (synced, (self._hidden / str(inode)).stat().st_size)
            )

    # What its files tell it.

    def write_to(self, file: LossyFile, data: bytes, life: int) -> None:
        with self._lock:
            last = self._is_last_step(life)
            self.writes += 1
            full = self.full_at_write is not None and self.writes >= self.full_at_write
            AppendFile.write(file, data[: len(data) // 2] if last or full else data)
            if last:
                raise PowerCutError(f"the power went out at step {self.steps}")
            with storage_errors(file.path):
                if full:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def sync_open(self, file: LossyFile, life: int) -> None:
        with self._lock:
            found = os.fstat(file.descriptor)
            self._sync(file.path, [found.st_ino], life)
            self._lengths[found.st_ino] = found.st_size

    def cut_open(self, file: LossyFile, length: int, life: int) -> None:
        with self._lock:
            self._step(life)
            AppendFile.cut(file, length)
            inode = os.fstat(file.descriptor).st_ino
            lost = self._lost.get(inode, [])
            self._lost[inode] = [(first, min(end, length)) for first, end in lost if first < length]
            self._lengths[inode] = min(self._lengths.get(inode, 0), length)


class LossyFile(AppendFile):
    """A file of a LossyDisk; dead after the disk lost its power."""

    def __init__(self, file: AppendFile, disk: LossyDisk) -> None:
        super().__init__(file.path, file.descriptor)
        self._disk = disk
        self._life = disk.life

    def write(self, data: bytes | memoryview) -> None:
        self._disk.write_to(self, bytes(data), self._life)

    def sync(self) -> None:
        self._disk.sync_open(self, self._life)

    def cut(self, length: int) -> None:
        self._disk.cut_open(self, length, self._life)


def _apply(change: _Change, names: dict[Path, int]) -> None:
    if change.source is not None:
        names.pop(change.source, None)
    if change.inode is None:
        names.pop(change.path, None)
    else:
        names[change.path] = change.inode
