"""Compacting: where an account has too many log files, those of earlier epochs become one.

Every step may be the last one: a merged log says nothing new, and what it was merged from is
unlinked when it is durable.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from streambackup.errors import NoSpaceError
from streambackup.journal.mark import close_marks, marked_epochs
from streambackup.journal.segment import EpochName, PartitionPath
from streambackup.metadata.account_log import log_files, merged_name, unfinished_name
from streambackup.metadata.compaction import DamagedLogError, Merge, merged_lines, plan_merge
from streambackup.runtime.disk import Disk

ROUND_BYTES = 64 * 1024 * 1024
"""When so much was merged, the rest waits for the next filing."""
_PIECE_BYTES = 1024 * 1024


class Compacted(NamedTuple):
    """How many accounts' logs were merged, and why others were left as they are."""

    accounts: int
    left: tuple[str, ...]


NOTHING_COMPACTED = Compacted(0, ())


def compact(
    path: PartitionPath,
    owner: EpochName,
    accounts: Collection[Path],
    disk: Disk,
    *,
    logs_max: int,
) -> Compacted:
    """Merge logs of those of *accounts*, their directories, that have more than *logs_max* of the
    partition's. Durable on return, and nothing but the number of files changed.

    Where there is no space, or a log is damaged, it is left as it is.

    Raises:
        StoreError: the disk failed; the process has to end.
    """
    partition = marked_epochs(path)
    if len(partition) <= logs_max:
        return NOTHING_COMPACTED
    crowded = [account for account in accounts if len(os.listdir(account)) > logs_max]
    if not crowded:
        return NOTHING_COMPACTED
    merging = _Merging(path, owner, disk)
    try:
        # Before any log is read: what is marked from now on may not be in what was read.
        closed = close_marks(path, owner, disk)
        plans = (
            plan_merge(
                account, log_files(account), partition=partition, closed=closed, logs_max=logs_max
            )
            for account in crowded
        )
        merged = merging.act((plan for plan in plans if plan is not None), closed)
    except NoSpaceError as error:
        merging.give_up()
        return Compacted(0, (str(error),))
    return Compacted(merged, tuple(merging.left))


class _Written(NamedTuple):
    merge: Merge
    temporary: Path
    target: Path


class _Merging:
    """One round."""

    def __init__(self, path: PartitionPath, owner: EpochName, disk: Disk) -> None:
        self._path = path
        self._owner = owner
        self._disk = disk
        self._temporaries: set[Path] = set()
        self._bytes = 0
        self.left: list[str] = []
        """Why logs were left as they are."""

    def act(self, merges: Iterable[Merge], closed: Collection[EpochName]) -> int:
        """Do *merges*, and sweep what the epochs *closed* left of theirs; returns how many were
        done.
        """
        written = list(self._write_some(merges))
        if not written:
            return 0
        self._disk.sync_all(self._path.root, {one.temporary for one in written})
        in_place = [one for one in written if self._put_in_place(one)]
        self._disk.sync_all(self._path.root, {one.target for one in in_place})
        unfinished = {unfinished_name(epoch) for epoch in closed}
        for one in in_place:
            self._unlink(sorted({*one.merge.logs} - {one.target}))
            leftovers = unfinished.intersection(os.listdir(one.merge.directory))
            self._unlink(one.merge.directory / name for name in sorted(leftovers))
        return len(in_place)

    def _write_some(self, merges: Iterable[Merge]) -> Iterator[_Written]:
        for merge in merges:
            try:
                written = self._write(merge)
            except FileNotFoundError:  # Another owner merges them too, and was faster.
                continue
            except (DamagedLogError, OSError) as error:
                self.left.append(f"{merge.directory}: {error}")
                continue
            yield written
            if self._bytes >= ROUND_BYTES:
                return

    def _write(self, merge: Merge) -> _Written:
        """Write one log for those to be merged, under a name that nobody reads."""
        temporary = merge.directory / unfinished_name(self._owner)
        hashed = hashlib.sha256()
        with contextlib.ExitStack() as opened:
            logs = [opened.enter_context(file.open("rb")) for file in merge.logs]
            file = self._disk.create(temporary)
            self._temporaries.add(temporary)
            try:
                for piece in _pieces(merged_lines(logs)):
                    self._bytes += len(piece)
                    hashed.update(piece)
                    file.write(piece)
            except (DamagedLogError, OSError):
                self._unlink([temporary])
                raise
            finally:
                file.close()
        target = merge.directory / merged_name(self._owner, hashed.hexdigest())
        return _Written(merge, temporary, target)

    def _put_in_place(self, one: _Written) -> bool:
        with contextlib.suppress(FileNotFoundError):
            self._disk.rename(one.temporary, one.target)
            return True
        return False

    def _unlink(self, files: Iterable[Path]) -> None:
        for file in files:
            with contextlib.suppress(FileNotFoundError):
                self._disk.unlink(file)

    def give_up(self) -> None:
        """Take away what was written and is in no place."""
        self._unlink(sorted(self._temporaries))


def _pieces(lines: Iterable[bytes]) -> Iterator[bytes]:
    """*lines* in pieces worth a write."""
    piece: list[bytes] = []
    size = 0
    for line in lines:
        piece.append(line)
        size += len(line)
        if size >= _PIECE_BYTES:
            yield b"".join(piece)
            piece.clear()
            size = 0
    yield b"".join(piece)
