"""What an owner stands on, and what it leaves behind where the disk is full."""

from __future__ import annotations

from pathlib import Path

import pytest

from streambackup.domain.entry import Entry
from streambackup.errors import NoSpaceError, StoreError
from streambackup.journal.frame import FrameKind
from streambackup.journal.payload import Blobs, encode_payload
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


def test_a_frame_whose_sync_found_no_space_can_be_taken_over(
    tmp_path: Path, log: PartitionLog
) -> None:
    root = tmp_path / "store"
    PartitionStore(root)
    disk = LossyDisk(root, full_at_sync=1)
    store = PartitionStore(root, disk)
    with pytest.raises(NoSpaceError):
        store.append(store.own(), log.records[:1])
    disk.make_space()

    successor = store.own()
    store.journal(successor, log.records)
    disk.crash(0)

    assert successor.position == 3
    assert offsets_read(store) == [0, 1, 2]


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
