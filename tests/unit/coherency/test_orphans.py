"""Metadata that nothing accounts for any more is a fault, and is read as far as it can be."""

from __future__ import annotations

from pathlib import Path

import pytest

from streambackup.coherency.check import check_store
from streambackup.domain.finding import Finding, FindingClass
from streambackup.journal.life import LIFE_FILE
from streambackup.metadata.account_log import (
    ACCOUNT_FILE,
    account_directory,
    list_accounts,
    log_files,
)
from streambackup.testing.events import GENERATION, PartitionLog, put
from streambackup.testing.partition_store import PartitionStore

LONG = "ä" * 200
SHORT = "anna"


@pytest.fixture
def store(tmp_path: Path) -> PartitionStore:
    """All filed; one account's directory is named by a hash."""
    store = PartitionStore(tmp_path / "store")
    owner = store.own()
    log = PartitionLog()
    for account in (LONG, SHORT):
        log.add(put("m", 1, account=account, folder="f"))
    store.journal(owner, log.records)
    store.file(owner)
    assert check_store(store.root).findings == ()
    return store


def only_fault(store: PartitionStore) -> Finding:
    (found,) = check_store(store.root).findings
    assert found.finding is FindingClass.ORPHANED_METADATA
    assert found.is_fault
    return found


@pytest.mark.row("F094")
@pytest.mark.parametrize("instead", [None, b"", b"somebody else", b"\xff"])
def test_an_account_whose_name_is_lost_is_read_and_reported(
    store: PartitionStore, instead: bytes | None
) -> None:
    file = account_directory(store.root, LONG) / ACCOUNT_FILE
    file.unlink()
    if instead is not None:
        file.write_bytes(instead)

    found = only_fault(store)
    assert (found.account, found.path) == (LONG, str(file))
    assert store.reader().accounts() == [SHORT, LONG]
    assert list(store.reader().history(LONG).items) == ["m"]


@pytest.mark.row("F094")
def test_a_log_that_nothing_names_is_reported(store: PartitionStore) -> None:
    """Neither the file nor any line tells whose it is; the segment shows whose lines are gone."""
    directory = account_directory(store.root, LONG)
    (directory / ACCOUNT_FILE).unlink()
    ((_, log),) = log_files(directory)
    log.write_bytes(b"{" + log.read_bytes()[1:-9] + b"00000000\n")
    found = check_store(store.root).faults

    assert FindingClass.ORPHANED_METADATA in {fault.finding for fault in found}
    assert str(directory) in {fault.path for fault in found}


@pytest.mark.row("F094")
@pytest.mark.parametrize("account", [LONG, SHORT])
def test_a_directory_in_the_wrong_place_is_reported(store: PartitionStore, account: str) -> None:
    right = account_directory(store.root, account)
    wrong = right.parent / "elsewhere"
    right.rename(wrong)
    found = check_store(store.root).faults

    assert {fault.finding for fault in found} == {
        FindingClass.ORPHANED_METADATA,
        FindingClass.MISSING_LINES,
    }
    assert str(wrong) in {fault.path for fault in found}
    assert account not in {account for account, _ in list_accounts(store.root)}


def test_what_a_crash_leaves_of_a_new_account_is_no_fault(store: PartitionStore) -> None:
    account_directory(store.root, "b" * 200).mkdir(parents=True)

    assert check_store(store.root).findings == ()


@pytest.mark.row("F094")
def test_a_generation_that_nothing_describes_is_a_fault_and_a_doubt(store: PartitionStore) -> None:
    directory = store.root / "journal" / GENERATION
    (directory / LIFE_FILE).unlink()

    assert only_fault(store).path == str(directory)
    for account in (LONG, SHORT):
        (doubt,) = store.reader().history(account).doubts
        assert f"the {LIFE_FILE} of generation {GENERATION} is missing" in doubt.reason


def test_a_generation_without_journal_leaves_its_accounts_in_doubt(store: PartitionStore) -> None:
    journal = store.root / "journal"
    journal.rename(store.root / "elsewhere")

    (doubt,) = store.reader().history(SHORT).doubts
    assert GENERATION in doubt.reason
    assert len(check_store(store.root).faults) == 2


def test_what_a_crash_leaves_of_a_new_generation_is_no_fault(store: PartitionStore) -> None:
    (store.root / "journal" / ("f" * 16) / "mailbox.transactions" / "0").mkdir(parents=True)

    assert check_store(store.root).findings == ()
