"""Each trace that breaks a weaker rule of merging account logs, on a real directory."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec
import pytest

from streambackup.coherency.check import check_store
from streambackup.domain.entry import Entry
from streambackup.errors import NoSpaceError
from streambackup.journal.mark import farthest_mark, mark_files
from streambackup.journal.owner import PartitionOwner
from streambackup.metadata.account_log import (
    account_directory,
    is_merged,
    log_files,
    with_logs,
)
from streambackup.realtime.filing import Filed, file_partition
from streambackup.realtime.retiring import Retiring
from streambackup.runtime.disk import AppendFile, Disk
from streambackup.testing.events import ACCOUNT, TIME_MS, PartitionLog, put
from streambackup.testing.lossy_disk import LossyDisk, PowerCutError
from streambackup.testing.partition_store import PartitionStore

RECORDS = 8
STEPS_MAX = 80
"""More than a filing with its merge takes."""


@pytest.fixture
def log() -> PartitionLog:
    """Each record in a moment of its own."""
    return PartitionLog(
        [put("m", n, time_ms=TIME_MS + 1_000 * n, folder="f") for n in range(1, RECORDS + 1)]
    )


def compacting(
    store: PartitionStore, owner: PartitionOwner, disk: Disk | None = None, logs_max: int = 2
) -> Filed:
    request = msgspec.structs.replace(store.request(owner), logs_max=logs_max)
    return file_partition(request, disk or store.disk)


def offsets_read(store: PartitionStore) -> list[int]:
    """What a reader finds of the account."""
    stream = store.reader().stream(ACCOUNT, [])
    return [m.offset for e in stream if isinstance(e, Entry) for m in e.members]


def logs_of(store: PartitionStore) -> list[Path]:
    return [file for _, file in log_files(account_directory(store.root, ACCOUNT))]


def two_predecessors(store: PartitionStore, log: PartitionLog) -> list[PartitionOwner]:
    """Record 0 is filed by one epoch, record 1 by the next."""
    owners = []
    for end in (1, 2):
        owner = store.own()
        store.journal(owner, log.records[:end])
        store.file(owner)
        owners.append(owner)
    return owners


class _HeldUpDisk(Disk):
    """Calls *between* once, when a file of *epoch* is open and nothing is written to it."""

    def __init__(self, epoch: object, between: Callable[[], object]) -> None:
        self._name = f"{epoch}.jsonl"
        self._between = between

    def append_lines(self, path: Path) -> AppendFile:
        file = super().append_lines(path)
        if path.name == self._name:
            between, self._between = self._between, lambda: None
            between()
        return file


def test_a_mark_behind_the_merge_of_its_logs_does_not_count(
    tmp_path: Path, log: PartitionLog
) -> None:
    """1.11: an owner merges and unlinks a log, a zombie files one more segment into the unlinked
    file and marks it: counted, that mark makes readers, and the next filing, skip what no file
    holds, and its segment is deleted.
    """
    store = PartitionStore(tmp_path / "store")
    _, zombie = two_predecessors(store, log)
    owner = store.own()
    store.journal(zombie, log.records[:6])
    store.journal(owner, log.records[:3])

    def merge() -> None:
        assert compacting(store, owner).compacted.accounts == 1

    file_partition(store.request(zombie), _HeldUpDisk(zombie.epoch, merge))
    (said,) = [file for epoch, file in mark_files(store.path) if epoch == zombie.epoch]

    assert msgspec.json.decode(said.read_bytes())["filed_to"] == 6
    assert farthest_mark(store.path).filed_to == 3
    assert offsets_read(store) == [0, 1, 2, 3, 4, 5]
    store.journal(zombie, log.records[:7])
    Retiring(store.path, store.disk, zombie.epoch).retire(0, 0)
    assert offsets_read(store) == [0, 1, 2, 3, 4, 5, 6]
    store.journal(owner, log.records)
    compacting(store, owner)
    Retiring(store.path, store.disk, store.own().epoch).retire(0, 0)
    assert store.path.segments() == []
    assert offsets_read(store) == list(range(RECORDS))
    assert check_store(store.root).findings == ()


def test_an_owner_that_files_behind_a_closed_mark_files_its_segment_again(
    tmp_path: Path, log: PartitionLog
) -> None:
    """1.11: a successor that has no mark of its own yet trusts the zombie's, and leaves a hole."""
    store = PartitionStore(tmp_path / "store")
    _, zombie = two_predecessors(store, log)
    owner = store.own()
    store.journal(zombie, log.records[:6])
    store.journal(owner, log.records[:3])
    merge = _HeldUpDisk(zombie.epoch, lambda: compacting(store, owner))
    file_partition(store.request(zombie), merge)
    heir = store.own()
    assert heir.position == 6
    store.file(heir)

    assert farthest_mark(store.path).records == 6
    assert offsets_read(store) == [0, 1, 2, 3, 4, 5]
    assert check_store(store.root).faults == []


class _OvertakenDisk(Disk):
    """Calls *between* ahead of call number *at* that changes names, or waits for a sync."""

    def __init__(self, at: int, between: Callable[[], object]) -> None:
        self._at = at
        self._between = between
        self.calls = 0

    def _count(self) -> None:
        self.calls += 1
        if self.calls == self._at:
            self._between()

    def create(self, path: Path) -> AppendFile:
        self._count()
        return super().create(path)

    def append_lines(self, path: Path) -> AppendFile:
        self._count()
        return super().append_lines(path)

    def rename(self, source: Path, target: Path) -> None:
        self._count()
        super().rename(source, target)

    def unlink(self, path: Path) -> None:
        self._count()
        super().unlink(path)

    def sync_all(self, root: Path, written: Iterable[Path]) -> None:
        self._count()
        super().sync_all(root, written)


CALLS = 20
"""More than a filing with its merge makes."""


@pytest.mark.parametrize("at", range(1, CALLS))
def test_two_owners_that_merge_at_once_lose_nothing(
    tmp_path: Path, log: PartitionLog, at: int
) -> None:
    """The names of merged logs used again, the slower owner unlinks what it has not read."""
    store = PartitionStore(tmp_path / "store")
    two_predecessors(store, log)
    slow = store.own()
    store.journal(slow, log.records[:4])
    fast: list[PartitionOwner] = []

    def overtake() -> None:
        fast.append(store.own())
        store.journal(fast[0], log.records[:6])
        compacting(store, fast[0])
        assert offsets_read(store) == [0, 1, 2, 3, 4, 5]

    disk = _OvertakenDisk(at, overtake)
    compacting(store, slow, disk)
    if fast:
        assert offsets_read(store) == [0, 1, 2, 3, 4, 5]
        compacting(store, slow)
        store.journal(fast[0], log.records)
        compacting(store, fast[0])
        assert offsets_read(store) == list(range(RECORDS))
    assert check_store(store.root).faults == []
    assert bool(fast) == (at <= disk.calls)


@pytest.mark.parametrize("at", range(1, CALLS))
def test_a_reader_that_a_merge_overtakes_misses_nothing(
    tmp_path: Path, log: PartitionLog, at: int
) -> None:
    """Read one after the other, the first log is met before it is merged, the second is gone."""
    store = PartitionStore(tmp_path / "store")
    two_predecessors(store, log)
    owner = store.own()
    store.journal(owner, log.records)
    reads: list[list[int]] = []
    disk = _OvertakenDisk(at, lambda: reads.append(offsets_read(store)))
    compacting(store, owner, disk)

    assert reads == ([list(range(RECORDS))] if at <= disk.calls else [])


def test_a_merge_between_two_reads_of_logs_is_noticed(tmp_path: Path, log: PartitionLog) -> None:
    store = PartitionStore(tmp_path / "store")
    two_predecessors(store, log)
    owner = store.own()
    store.journal(owner, log.records)
    calls: list[list[bool]] = []

    def read(logs: Sequence[Path]) -> bytes:
        calls.append([is_merged(log) for log in logs])
        first = logs[0].read_bytes()
        if len(calls) == 1:
            compacting(store, owner)
        return first + b"".join(log.read_bytes() for log in logs[1:])

    read_back = with_logs(account_directory(store.root, ACCOUNT), read)
    assert calls == [[False, False], [True, False]]
    assert read_back.count(b"\n") == RECORDS


@pytest.mark.parametrize("step", range(1, STEPS_MAX))
@pytest.mark.parametrize("syncfs", [True, False])
def test_no_crash_in_a_merge_loses_a_line(
    tmp_path: Path, log: PartitionLog, step: int, syncfs: bool
) -> None:
    """Between any two steps the power goes out; the next owner merges what is left."""
    for seed in range(3):
        root = tmp_path / str(seed)
        store = PartitionStore(root)
        two_predecessors(store, log)
        disk = LossyDisk(root, syncfs=syncfs)
        store = PartitionStore(root, disk)
        owner = store.own()
        store.journal(owner, log.records[:6])
        disk.count_anew()
        disk.dies_at = step
        with contextlib.suppress(PowerCutError):
            compacting(store, owner)
        disk.crash(seed)

        assert offsets_read(store) == [0, 1, 2, 3, 4, 5]
        assert check_store(root).faults == []
        heir = store.own()
        store.journal(heir, log.records)
        compacting(store, heir)
        assert offsets_read(store) == list(range(RECORDS))
        assert check_store(root).faults == []
        assert len(logs_of(store)) == 2
        assert list(root.glob("accounts/*/*/.*.tmp")) == []


@pytest.mark.parametrize("call", range(1, 16))
@pytest.mark.parametrize("what", ["full_at_write", "full_at_sync"])
def test_a_merge_without_space_leaves_the_logs_as_they_are(
    tmp_path: Path, log: PartitionLog, what: str, call: int
) -> None:
    store = PartitionStore(tmp_path / "store")
    two_predecessors(store, log)
    store = PartitionStore(tmp_path / "store", LossyDisk(tmp_path / "store"))
    owner = store.own()
    store.journal(owner, log.records)
    assert isinstance(store.disk, LossyDisk)
    store.disk.count_anew()
    setattr(store.disk, what, call)
    with contextlib.suppress(NoSpaceError):  # It was filing that found none.
        compacting(store, owner)

    assert offsets_read(store) == list(range(RECORDS))
    assert check_store(store.root).faults == []
    assert list(store.root.glob("accounts/*/*/.*.tmp")) == []
