"""Each trace that breaks a weaker rule of journals, epochs and filing, on a real directory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from streambackup.coherency.check import check_store
from streambackup.domain.entry import Entry
from streambackup.domain.finding import Finding
from streambackup.errors import NoSpaceError
from streambackup.events.mailbox import Put
from streambackup.journal.line import Line
from streambackup.metadata.account_log import account_directory, decode_lines, log_files
from streambackup.reading.store_reader import StoreReader
from streambackup.realtime.filing import file_partition
from streambackup.realtime.retiring import Retiring
from streambackup.testing.events import ACCOUNT, TIME_MS, PartitionLog, put
from streambackup.testing.lossy_disk import LossyDisk, LossyFile, PowerCutError
from streambackup.testing.partition_store import PartitionStore

STEPS_OF_AN_APPEND = 12
"""More than the first append of an owner takes."""


def message(number: int) -> Put:
    """Each in a moment of its own."""
    return put("m", number, time_ms=TIME_MS + 1_000 * number, number=number, folder="f")


@pytest.fixture
def log() -> PartitionLog:
    return PartitionLog([message(number) for number in range(1, 7)])


def lossy_store(root: Path) -> tuple[PartitionStore, LossyDisk]:
    """A new store on a disk that can lose its power."""
    PartitionStore(root)
    disk = LossyDisk(root)
    return PartitionStore(root, disk), disk


def offsets_read(reader: StoreReader) -> list[int]:
    """What a reader finds of the account."""
    stream = reader.stream(ACCOUNT, [])
    return [m.offset for e in stream if isinstance(e, Entry) for m in e.members]


@pytest.mark.parametrize("step", range(1, STEPS_OF_AN_APPEND))
def test_a_new_owner_makes_durable_what_it_takes_over(
    tmp_path: Path, log: PartitionLog, step: int
) -> None:
    """1.2: a predecessor's unsynced record, or directory, goes in a power cut after the successor
    has acknowledged what stands behind it.
    """
    for seed in range(6):
        store, disk = lossy_store(tmp_path / str(seed))
        killed = store.own()
        disk.dies_at = disk.steps + step
        try:
            store.append(killed, log.records[:1])
        except PowerCutError:
            disk.revive()
        owner = store.own()
        took_over = owner.position
        store.journal(owner, log.records[:2])
        disk.crash(seed)

        assert took_over in (0, 1)
        assert offsets_read(store.reader()) == [0, 1]
        assert store.own().position == 2


class FiledMeanwhile(StoreReader):
    """A reader that is overtaken just before it reads the account log."""

    def __init__(self, store: PartitionStore) -> None:
        super().__init__(store.root)
        self._store = store

    def _filed_lines(self, account: str, findings: list[Finding]) -> dict[str, list[Line]]:
        owner = self._store.own()
        self._store.file(owner)
        retiring = Retiring(self._store.path, self._store.disk, owner.epoch)
        assert len(retiring.retire(0, 0)) == 2
        return super()._filed_lines(account, findings)


def test_a_reader_opens_what_is_unfiled_before_it_reads_the_log(
    tmp_path: Path, log: PartitionLog
) -> None:
    """1.5: the log read first, records are missed that a filer writes, marks and deletes then."""
    store = PartitionStore(tmp_path / "store")
    first = store.own()
    store.journal(first, log.records[:3])
    store.file(first)
    store.journal(first, log.records)
    first.seal()

    assert offsets_read(FiledMeanwhile(store)) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("write", range(1, 9))
def test_filing_again_starts_on_a_line_of_its_own(
    tmp_path: Path, log: PartitionLog, write: int
) -> None:
    """1.6: glued to the torn line of a filing that found no space, the next line is unreadable
    although it counts as filed.
    """
    store, disk = lossy_store(tmp_path / "store")
    log.add(put("m", 7, account="bert", folder="f"))
    owner = store.own()
    store.journal(owner, log.records)
    request = store.request(owner)
    disk.full_at_write = disk.writes + write
    try:
        file_partition(request, disk)
    except NoSpaceError:
        assert store.filed_to == 0
        disk.make_space()
        file_partition(request, disk)

    assert store.filed_to == 7
    for account, offsets in ((ACCOUNT, {0, 1, 2, 3, 4, 5}), ("bert", {6})):
        ((_, file),) = log_files(account_directory(store.root, account))
        lines = [line for line in decode_lines(file.read_bytes()) if isinstance(line, Line)]
        assert {line.offset for line in lines} == offsets


def test_an_epochs_log_is_not_written_by_another(tmp_path: Path, log: PartitionLog) -> None:
    """1.6: two writers of one file would glue their lines together at any byte."""
    store = PartitionStore(tmp_path / "store")
    for end in (2, 4, 6):
        owner = store.own()
        store.journal(owner, log.records[:end])
        store.file(owner)

    logs = log_files(account_directory(store.root, ACCOUNT))
    assert len({epoch for epoch, _ in logs}) == 3
    assert [file.read_bytes().count(b"\n") for _, file in logs] == [2, 2, 2]


def test_a_mark_says_how_far_it_was_filed(tmp_path: Path, log: PartitionLog) -> None:
    """1.4: a mark without an offset hides what its epoch appended after the filer had looked."""
    store = PartitionStore(tmp_path / "store")
    zombie = store.own()
    store.journal(zombie, log.records[:2])
    successor = store.own()
    store.file(successor)
    store.journal(zombie, log.records[:4])

    assert store.filed_to == 2
    assert offsets_read(store.reader()) == [0, 1, 2, 3]


def test_a_record_of_a_zombie_counts_though_a_newer_epoch_began_before_it(
    tmp_path: Path, log: PartitionLog
) -> None:
    """1.1: following the newest epochs only, a reader loses what the older one made durable, and
    acknowledged, after the newer had looked where to begin.
    """
    store = PartitionStore(tmp_path / "store")
    zombie = store.own()
    store.journal(zombie, log.records[:1])
    heir = store.own()
    store.journal(zombie, log.records[:4])
    assert offsets_read(store.reader()) == [0, 1, 2, 3]

    third = store.own()
    assert (heir.position, third.position) == (1, 4)
    store.journal(heir, log.records[:2])
    assert offsets_read(store.reader()) == [0, 1, 2, 3]
    store.journal(third, log.records, {5})
    store.file(heir)
    assert offsets_read(store.reader()) == [0, 1, 2, 3, 4, 5]
    store.file(third)
    assert offsets_read(store.reader()) == [0, 1, 2, 3, 4, 5]


class _HeldDisk(LossyDisk):
    """Calls *between* in the middle of write number *at*."""

    def __init__(self, root: Path, at: int, between: Callable[[], object]) -> None:
        super().__init__(root)
        self._at = at
        self._between = between

    def write_to(self, file: LossyFile, data: bytes, life: int) -> None:
        if self.writes + 1 != self._at:
            super().write_to(file, data, life)
            return
        super().write_to(file, data[: len(data) // 2], life)
        self._between()
        super().write_to(file, data[len(data) // 2 :], life)


def test_a_torn_tail_is_left_to_whoever_writes_it(tmp_path: Path, log: PartitionLog) -> None:
    """1.7: cut by a new owner that saw half of a frame, the frame is damaged when its writer goes
    on, though it was synced and acknowledged.
    """
    PartitionStore(tmp_path / "store")
    torn = []

    def take_over() -> None:
        torn.append(store.own())

    disk = _HeldDisk(tmp_path / "store", 3, take_over)
    store = PartitionStore(tmp_path / "store", disk)
    owner = store.own()
    store.journal(owner, log.records[:2])
    store.journal(owner, log.records[:4])
    (heir,) = torn

    assert heir.position == 2
    assert offsets_read(store.reader()) == [0, 1, 2, 3]
    store.journal(heir, log.records[:3])
    disk.crash(1)
    assert offsets_read(store.reader()) == [0, 1, 2, 3]
    assert check_store(store.root).faults == []
    assert store.own().position == 4
