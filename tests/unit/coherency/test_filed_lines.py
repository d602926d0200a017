"""What was filed is counted, so that it is missed when no segment is left to show it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from streambackup.coherency.check import check_store
from streambackup.domain.finding import FindingClass
from streambackup.domain.words import counted
from streambackup.events.mailbox import MarkerKind
from streambackup.journal.mark import farthest_mark
from streambackup.metadata.account_log import account_directory, log_files
from streambackup.realtime.retiring import Retiring
from streambackup.testing.events import (
    ACCOUNT,
    TIME_MS,
    PartitionLog,
    marker,
    put,
)
from streambackup.testing.partition_store import PartitionStore

SECOND_MS = 1_000


def records() -> PartitionLog:
    """Six, of two accounts: a run, a marker and a bad record among them."""
    log = PartitionLog()
    for number in (1, 2):
        log.add(put("m", number, folder="f", time_ms=TIME_MS))
    log.add(put("m", 1, account="bert", folder="f"))
    log.add(marker(MarkerKind.SWITCH, account=None))
    log.add_raw(ACCOUNT.encode(), b"junk")
    log.add(put("m", 3, folder="f", n=3, time_ms=TIME_MS + SECOND_MS))
    return log


def retire(store: PartitionStore) -> None:
    owner = store.own()
    Retiring(store.path, store.disk, owner.epoch).retire(0, 0)
    assert store.path.segments() == []


@pytest.fixture
def store(tmp_path: Path) -> PartitionStore:
    """All filed, in two goes, and no segment left."""
    store = PartitionStore(tmp_path / "store")
    log = records()
    for count in (3, 6):
        owner = store.own()
        store.journal(owner, log.records[:count], {1})
        store.file(owner)
    retire(store)
    assert check_store(store.root).findings == ()
    return store


def without_directory(store: PartitionStore) -> None:
    shutil.rmtree(account_directory(store.root, "bert"))


def without_last_line(store: PartitionStore) -> None:
    (*_, (_, file)) = log_files(account_directory(store.root, ACCOUNT))
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:-1]))


def without_log(store: PartitionStore) -> None:
    ((_, file), *_) = log_files(account_directory(store.root, ACCOUNT))
    file.unlink()


def without_partition_log(store: PartitionStore) -> None:
    for file in store.path.directory.glob("*.partition.jsonl"):
        file.unlink()


@pytest.mark.row("F092")
@pytest.mark.parametrize(
    ("lose", "count"),
    [(without_directory, 1), (without_last_line, 1), (without_log, 2), (without_partition_log, 2)],
)
def test_lines_that_no_segment_shows_any_more_are_missed(
    store: PartitionStore, lose: Callable[[PartitionStore], None], count: int
) -> None:
    lose(store)
    (found,) = check_store(store.root).faults

    assert found.finding is FindingClass.MISSING_LINES
    assert found.path == str(store.path.directory)
    assert found.what == f"the logs lack {counted(count, 'filed record')} of this partition"


def test_a_mark_counts_what_was_filed_since_the_beginning(store: PartitionStore) -> None:
    assert farthest_mark(store.path).records == 6


def test_what_a_gap_covers_is_not_counted(tmp_path: Path) -> None:
    """Frames that are damaged before they are filed leave a gap, and nothing to miss later."""
    store = PartitionStore(tmp_path / "store")
    owner = store.own()
    store.journal(owner, records().records, {2, 4})
    (name,) = store.path.segments()
    file = store.path.path_of(name)
    damaged = bytearray(file.read_bytes())
    damaged[damaged.find(b"bert")] ^= 1
    file.write_bytes(damaged)
    store.file(owner)
    retire(store)

    assert farthest_mark(store.path).records == 4
    classes = [found.finding for found in check_store(store.root).findings]
    assert classes == [FindingClass.DAMAGED_FRAME]  # The segment, which was moved aside.


def test_what_a_filing_did_not_finish_is_counted_once(tmp_path: Path) -> None:
    """Two epochs filed the same records: one mark stands on the other, or beside it."""
    store = PartitionStore(tmp_path / "store")
    owner = store.own()
    store.journal(owner, records().records)
    store.file(owner)
    for file in store.path.directory.glob("*.filed"):
        file.unlink()
    again = store.own()
    log = records()
    log.add(put("m", 4, n=4, time_ms=TIME_MS + 2 * SECOND_MS))
    store.journal(again, log.records)
    store.file(again)

    assert farthest_mark(store.path).records == 7
    assert check_store(store.root).findings == ()
