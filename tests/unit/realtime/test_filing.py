"""Filing and retiring: segments into account logs, and away when that is long enough ago."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from streambackup.coherency.check import check_store
from streambackup.domain.entry import ItemType
from streambackup.domain.finding import FindingClass
from streambackup.errors import NoSpaceError
from streambackup.journal.mark import farthest_mark, mark_files
from streambackup.journal.owner import PartitionOwner
from streambackup.journal.segment import EpochName
from streambackup.metadata.account_log import account_directory, log_files
from streambackup.realtime.filing import file_partition
from streambackup.realtime.retiring import Retiring
from streambackup.testing.events import ACCOUNT, TIME_MS, PartitionLog, marker, put
from streambackup.testing.lossy_disk import LossyDisk, PowerCutError
from streambackup.testing.partition_store import PartitionStore


@pytest.fixture
def store(tmp_path: Path) -> PartitionStore:
    PartitionStore(tmp_path / "store")
    return PartitionStore(tmp_path / "store", LossyDisk(tmp_path / "store"))


@pytest.fixture
def log() -> PartitionLog:
    return PartitionLog(
        [
            put("m", n, account=account, time_ms=TIME_MS + 1_000 * n, folder="f")
            for n in range(1, 5)
            for account in (ACCOUNT, "bert")
        ]
    )


def lossy(store: PartitionStore) -> LossyDisk:
    assert isinstance(store.disk, LossyDisk)
    return store.disk


def journalled(store: PartitionStore, log: PartitionLog, *cuts: int) -> PartitionOwner:
    owner = store.own()
    store.journal(owner, log.records, set(cuts))
    return owner


def test_each_account_gets_its_lines_in_one_file(store: PartitionStore, log: PartitionLog) -> None:
    filed = store.file(journalled(store, log, 3))

    assert (filed.lines, filed.accounts, filed.described) == (8, 2, ())
    assert store.filed_to == 8
    for account in (ACCOUNT, "bert"):
        ((_, file),) = log_files(account_directory(store.root, account))
        assert file.read_bytes().count(b"\n") == 4


def test_accounts_whose_own_item_changed_are_named(store: PartitionStore) -> None:
    log = PartitionLog([put("m", 1), put("bert", 1, account="bert", type=ItemType.ACCOUNT)])

    assert store.file(journalled(store, log)).described == ("bert",)


def test_filing_twice_gives_readers_nothing_twice(store: PartitionStore, log: PartitionLog) -> None:
    owner = journalled(store, log)
    before = store.reader().history(ACCOUNT)
    request = store.request(owner)
    file_partition(request, store.disk)
    for _, mark in mark_files(store.path):
        mark.unlink()
    file_partition(request, store.disk)

    ((_, file),) = log_files(account_directory(store.root, ACCOUNT))
    assert file.read_bytes().count(b"\n") == 8
    assert store.reader().history(ACCOUNT) == before


def test_nothing_behind_the_end_is_filed(store: PartitionStore, log: PartitionLog) -> None:
    """A frame of a zombie may reach over the end; what it has there may not be durable yet."""
    zombie = store.own()
    owner = store.own()
    store.journal(owner, log.records[:4])
    store.append(zombie, log.records[:7])
    store.file(owner)

    lines = [
        line
        for account in (ACCOUNT, "bert")
        for _, file in log_files(account_directory(store.root, account))
        for line in file.read_bytes().splitlines()
    ]
    assert len(lines) == 4
    assert store.filed_to == 4


def test_a_filing_that_never_ends_leaves_logs_with_a_known_owner(
    store: PartitionStore, log: PartitionLog
) -> None:
    """At whichever step it dies, in an epoch that has journalled nothing itself."""
    journalled(store, log)
    disk = lossy(store)
    before = store.reader().history(ACCOUNT)
    died = True
    step = 0
    while died:
        step += 1
        owner = store.own()
        request = store.request(owner)
        disk.dies_at = disk.steps + step
        try:
            file_partition(request, disk)
            died = False
        except PowerCutError:
            disk.revive()
        report = check_store(store.root)

        assert report.faults == []
        assert store.reader().history(ACCOUNT) == before
    assert step > 8
    assert store.filed_to == 8


def test_without_space_nothing_is_marked_and_little_left(
    store: PartitionStore, log: PartitionLog
) -> None:
    journalled(store, log)
    disk = lossy(store)
    disk.full_at_write = disk.writes + 1
    for _ in range(3):
        with pytest.raises(NoSpaceError):
            store.file(store.own())

    assert [path.name for path in store.root.rglob("*.tmp")] == []
    assert log_files(account_directory(store.root, ACCOUNT)) == []
    assert farthest_mark(store.path).filed_to == 0


def test_the_marker_before_a_line_is_there_when_the_line_is(store: PartitionStore) -> None:
    """Read between two writes of a filing, the log never joins what a marker separates."""
    log = PartitionLog([put("m", 1, n=1), marker(account=None), put("m", 2, n=2)])
    before = store_history(store, log)
    disk = lossy(store)
    request = store.request(store.own())
    for step in range(1, 30):
        disk.dies_at = disk.steps + step
        try:
            file_partition(request, disk)
            break
        except PowerCutError:
            disk.revive()
        segments = [store.path.path_of(name) for name in store.path.segments()]
        kept = [(file, file.read_bytes()) for file in segments]
        for file in segments:
            file.unlink()
        found = store.reader().examine(ACCOUNT).items.get("m")
        for file, data in kept:
            file.write_bytes(data)

        assert found is None or found.states in (before[:1], before)
        assert found is None or len(found.states) == 2 or found.states[0].state == {"n": 1}
    assert store.filed_to == 3


def store_history(store: PartitionStore, log: PartitionLog) -> tuple[object, ...]:
    journalled(store, log)
    return store.reader().history(ACCOUNT).items["m"].states


def test_segments_go_when_a_mark_covered_them_long_enough(
    store: PartitionStore, log: PartitionLog
) -> None:
    owner = store.own()
    store.journal(owner, log.records[:3])
    store.file(owner)
    store.journal(owner, log.records[:6])
    owner.seal()
    retiring = Retiring(store.path, store.disk, owner.epoch)
    first, second = (store.path.path_of(name) for name in store.path.segments())

    assert retiring.retire(1_000, 500) == []
    assert retiring.retire(1_499, 500) == []
    assert retiring.retire(1_500, 500) == [first]
    store.file(owner)
    store.journal(owner, log.records)
    *_, third = (store.path.path_of(name) for name in store.path.segments())
    assert retiring.retire(1_600, 500) == []
    assert retiring.retire(2_100, 500) == [second]
    assert third.exists()


def test_open_segments_stay_of_the_owner_and_of_who_shares_its_number(
    store: PartitionStore, log: PartitionLog
) -> None:
    """Two owners may draw one number; neither is dead for that. A later one knows better."""
    owner = store.own()
    store.journal(owner, log.records[:2])
    other = store.path.directory / f"{EpochName(owner.epoch.number, 'f' * 16)}-{'0' * 20}.journal"
    other.write_bytes(b"")
    retiring = Retiring(store.path, store.disk, owner.epoch)
    retiring.retire(0, 10)
    store.journal(owner, log.records)

    assert retiring.retire(20, 10) == []
    assert len(store.path.segments()) == 2
    assert other in Retiring(store.path, store.disk, store.own().epoch).retire(0, 0)


def test_an_owner_that_was_not_told_leaves_its_successors_open_segment(
    store: PartitionStore, log: PartitionLog
) -> None:
    """It may have filed what it found there; what its successor appends later it cannot know."""
    zombie = store.own()
    store.journal(zombie, log.records[:2])
    owner = store.own()
    store.journal(owner, log.records[:4])
    store.journal(zombie, log.records[:4])
    store.file(zombie)
    Retiring(store.path, store.disk, zombie.epoch).retire(0, 0)
    store.journal(owner, log.records)
    store.file(owner)

    assert farthest_mark(store.path).records == len(log.records)
    assert check_store(store.root).faults == []


def test_a_damaged_segment_is_moved_aside_and_reported_as_long_as_it_is_there(
    store: PartitionStore, log: PartitionLog
) -> None:
    owner = store.own()
    store.journal(owner, log.records, cuts=range(1, 8))
    (name,) = store.path.segments()
    segment = store.path.path_of(name)
    damaged = bytearray(segment.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    segment.write_bytes(damaged)
    store.file(owner)
    successor = store.own()
    Retiring(store.path, store.disk, successor.epoch).retire(0, 0)
    (aside,) = store.root.glob("quarantine/journal/*/*/*/*")

    assert store.path.segments() == []
    assert (aside.name, aside.read_bytes()) == (segment.name, bytes(damaged))
    assert aside.relative_to(store.root / "quarantine") == segment.relative_to(store.root)
    reported = [(f.finding, f.path) for f in check_store(store.root).faults]
    assert (FindingClass.DAMAGED_FRAME, str(aside)) in reported


@pytest.mark.parametrize("seed", range(6))
def test_a_power_cut_takes_no_segment_that_is_moved_aside(
    tmp_path: Path, log: PartitionLog, seed: int
) -> None:
    root = tmp_path / "store"
    store = PartitionStore(root)
    owner = store.own()
    store.journal(owner, log.records, cuts=range(1, 8))
    (name,) = store.path.segments()
    segment = store.path.path_of(name)
    damaged = bytearray(segment.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    segment.write_bytes(damaged)
    store.file(owner)
    disk = LossyDisk(root, dies_at=seed)
    retiring = Retiring(store.path, disk, store.own().epoch)
    with contextlib.suppress(PowerCutError):
        retiring.retire(0, 0)
    disk.crash(seed)

    kept = [p.read_bytes() for p in (segment, store.path.quarantine.path_of(name)) if p.exists()]
    assert bytes(damaged) in kept


def test_a_torn_tail_does_not_keep_a_segment(store: PartitionStore, log: PartitionLog) -> None:
    owner = store.own()
    store.journal(owner, log.records)
    (name,) = store.path.segments()
    with store.path.path_of(name).open("ab") as file:
        file.write(b"SBF1 of an append that did not finish")
    store.file(owner)
    retiring = Retiring(store.path, store.disk, store.own().epoch)

    assert retiring.retire(0, 0) == [store.path.path_of(name)]
    assert not (store.root / "quarantine").exists()
