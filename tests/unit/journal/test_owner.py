"""What an owner stands on, and what it leaves behind where the disk is full."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from streambackup.domain.entry import Entry
from streambackup.errors import NoSpaceError, StoreError
from streambackup.journal.cover import Cover
from streambackup.journal.frame import FrameKind
from streambackup.journal.owner import PartitionOwner
from streambackup.journal.payload import Blobs, encode_payload
from streambackup.journal.union import HELD_MAX
from streambackup.runtime.disk import Disk
from streambackup.testing.events import ACCOUNT, TIME_MS, PartitionLog, put
from streambackup.testing.lossy_disk import LossyDisk
from streambackup.testing.partition_store import PartitionStore


@pytest.fixture
def log() -> PartitionLog:
    return PartitionLog(
        [put("m", n, time_ms=TIME_MS + 1_000 * n, number=n, folder="f") for n in range(1, 4)]
    )


def offsets_read(store: PartitionStore) -> list[int]:
    stream = store.reader().stream(ACCOUNT, [])
    return [m.offset for e in stream if isinstance(e, Entry) for m in e.members]


class WrittenMeanwhile(LossyDisk):
    """A disk on which a zombie appends *late* to a segment just after someone else synced it."""

    late = b""

    def sync_file(self, path: Path) -> None:
        super().sync_file(path)
        if path.suffix == ".journal" and self.late:
            with path.open("ab") as segment:
                segment.write(self.late)
            self.late = b""


@pytest.mark.parametrize("seed", range(4))
def test_what_a_zombie_appends_behind_the_sync_is_not_taken_over(
    tmp_path: Path, log: PartitionLog, seed: int
) -> None:
    """Covered but not synced, it goes in a power cut: a hole below acknowledged records."""
    twin = PartitionStore(tmp_path / "twin")
    writer = twin.own()
    twin.journal(writer, log.records[:1])
    before = writer.segment_bytes
    twin.journal(writer, log.records[:2])
    (segment,) = twin.path.segments()
    root = tmp_path / "store"
    PartitionStore(root)
    disk = WrittenMeanwhile(root)
    store = PartitionStore(root, disk)
    store.journal(store.own(), log.records[:1])

    disk.late = twin.path.path_of(segment).read_bytes()[before:]
    owner = store.own()
    store.journal(owner, log.records)
    disk.crash(seed)

    assert disk.late == b""
    assert offsets_read(store) == [0, 1, 2]


@pytest.mark.parametrize("write", [1, 2])
def test_a_segment_stays_once_it_was_given_a_frame(
    tmp_path: Path, log: PartitionLog, write: int
) -> None:
    """A successor may have read the frame and stand on it; a segment without one is taken away."""
    root = tmp_path / "store"
    PartitionStore(root)
    disk = LossyDisk(root, full_at_write=write)
    store = PartitionStore(root, disk)
    owner = store.own()
    with pytest.raises(NoSpaceError):
        store.append(owner, log.records[:1])

    assert [name.epoch for name in store.path.segments()] == [owner.epoch] * (write - 1)
    assert (owner.segment, owner.segment_bytes) == (None, 0)


def test_an_epoch_without_space_keeps_what_it_journalled_without_moving_on(
    tmp_path: Path, log: PartitionLog
) -> None:
    """The same segment goes on after it was sealed; what stands in it was promised."""
    root = tmp_path / "store"
    PartitionStore(root)
    disk = LossyDisk(root)
    store = PartitionStore(root, disk)
    owner = store.own()
    nothing = encode_payload(Blobs([], [], [], []))
    owner.append(FrameKind.BLOBS, nothing, owner.position, owner.last)
    owner.seal()
    (name,) = store.path.segments()
    kept = store.path.path_of(name).read_bytes()
    disk.full_at_write = disk.writes + 1
    with pytest.raises(NoSpaceError):
        store.append(owner, log.records[:1])

    assert store.path.path_of(name).read_bytes().startswith(kept)


@pytest.mark.parametrize("fault", ["fails_at_sync", "full_at_sync"])
@pytest.mark.parametrize("before", [0, 1])
def test_what_a_sync_failed_for_is_not_taken_over(
    tmp_path: Path, log: PartitionLog, fault: str, before: int
) -> None:
    """It reads as usual and a later sync of it succeeds, but no disk has it."""
    root = tmp_path / "store"
    PartitionStore(root)
    disk = LossyDisk(root)
    store = PartitionStore(root, disk)
    first = store.own()
    store.journal(first, log.records[:before])
    setattr(disk, fault, disk.syncs + 1)
    with pytest.raises(StoreError):
        store.journal(first, log.records[: before + 1])
    disk.make_space()

    successor = store.own()
    assert successor.position == before
    store.journal(successor, log.records)
    disk.crash(0)
    assert sorted(offsets_read(store)) == [0, 1, 2]


def epochs(store: PartitionStore, count: int) -> PartitionLog:
    """An epoch for each of so many records: a service that was started often."""
    log = PartitionLog([put("m", n, time_ms=TIME_MS + 1_000 * n) for n in range(1, count + 1)])
    cover = Cover()
    for number, record in enumerate(log.records, 1):
        owner = PartitionOwner(store.path, Disk(), store.identity, number, cover)
        store.append(owner, [record])
        owner.seal()
        cover = Cover(owner.position, owner.last)
    return log


@contextlib.contextmanager
def few_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    open_now = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_now + 2 * HELD_MAX, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_however_many_epochs_there_are_few_files_are_open(tmp_path: Path) -> None:
    """Those that a taker-over need not look at, and those that nothing is filed of."""
    store = PartitionStore(tmp_path)
    count = 3 * HELD_MAX
    epochs(store, count)
    with few_descriptors():
        owner = store.own()
        unfiled = offsets_read(store)
        filed = store.file(owner)

    assert (owner.position, owner.epoch.number) == (count, count + 1)
    assert unfiled == list(range(count))
    assert filed.records == count


class Watched(Disk):
    """A disk that remembers which files it synced."""

    def __init__(self) -> None:
        self.synced: list[Path] = []

    def sync_file(self, path: Path) -> None:
        self.synced.append(path)
        super().sync_file(path)


def test_what_an_owner_before_made_durable_is_not_synced_again(tmp_path: Path) -> None:
    store = PartitionStore(tmp_path)
    epochs(store, 10)
    disk = Watched()

    PartitionStore(tmp_path, disk).own()

    newest = store.path.path_of(store.path.segments()[-1])
    assert [path for path in disk.synced if path.suffix == ".journal"] == [newest]
