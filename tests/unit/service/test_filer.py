"""The process that files: what it answers, and what is left when it or its parent dies."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from streambackup.domain.entry import ItemType
from streambackup.errors import StoreError
from streambackup.events.mailbox import MailboxEvent
from streambackup.journal.mark import FiledMark
from streambackup.journal.place import Place
from streambackup.realtime.filing import FilingRequest, file_partition
from streambackup.runtime.disk import Disk
from streambackup.service.filer import filing_processes
from streambackup.service.filing_process import file_and_describe
from streambackup.testing.events import (
    ACCOUNT,
    TIME_MS,
    PartitionLog,
    account_delete,
    delete,
    put,
)
from streambackup.testing.partition_store import PartitionStore

LATER_MS = TIME_MS + 60_000

KILLED_AT_WORK = """
import os, signal
from streambackup.service.filer import filing_processes

if __name__ == "__main__":
    with filing_processes():
        os.kill(os.getpid(), signal.SIGKILL)
"""

FIRST_OF_ITS_NAMESPACE = """
import asyncio, os, sys
from pathlib import Path
from streambackup.journal.mark import FiledMark
from streambackup.journal.place import Place
from streambackup.realtime.filing import FilingRequest
from streambackup.service.filer import filing_processes

async def main():
    with filing_processes() as file:
        root = Path(sys.argv[1])
        mark = FiledMark(1, 0, 0, 0)
        await file(FilingRequest(root, "mailbox.transactions", Place(0, 1, "g"), 1, "w", 0, mark))

if __name__ == "__main__":
    assert os.getpid() == 1
    try:
        asyncio.run(main())
    except Exception as error:
        print(*error.__notes__)
"""

NEW_NAMESPACE = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child")


def request(root: Path) -> FilingRequest:
    where = Place(0, 1, "g")
    return FilingRequest(root, "mailbox.transactions", where, 1, "w", 0, FiledMark(1, 0, 0, 0))


async def test_what_keeps_it_from_filing_is_raised_where_it_was_asked_for(tmp_path: Path) -> None:
    (tmp_path / "journal").touch()
    with filing_processes() as file:
        for _ in range(2):
            with pytest.raises((StoreError, OSError)) as caught:
                await file(request(tmp_path))
            assert "file_partition" in "".join(caught.value.__notes__)


async def test_a_filer_that_was_killed_is_one_clear_error(tmp_path: Path) -> None:
    with filing_processes() as file:
        for child in multiprocessing.active_children():
            os.kill(child.pid or 0, signal.SIGKILL)
        with pytest.raises(StoreError, match="the filing process died"):
            await file(request(tmp_path))


async def test_requests_are_shared_by_the_processes(tmp_path: Path) -> None:
    """None waits for one that takes long while another is idle."""
    (tmp_path / "journal").touch()
    with filing_processes(2) as file:
        stopped, _ = multiprocessing.active_children()
        os.kill(stopped.pid or 0, signal.SIGSTOP)
        both = [file(request(tmp_path)) for _ in range(2)]
        done, waiting = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        assert (len(done), len(waiting)) == (1, 1)
        os.kill(stopped.pid or 0, signal.SIGCONT)
        found = await asyncio.gather(*both, return_exceptions=True)
    assert [isinstance(error, StoreError | OSError) for error in found] == [True, True]


def test_a_service_that_was_killed_leaves_no_process_and_no_warning(tmp_path: Path) -> None:
    """Whatever is left holds standard error open."""
    script = tmp_path / "script.py"
    script.write_text(KILLED_AT_WORK)
    done = subprocess.run([sys.executable, script], capture_output=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (-signal.SIGKILL, b"")


def test_a_service_that_is_the_first_process_of_a_container_files(tmp_path: Path) -> None:
    if subprocess.run([*NEW_NAMESPACE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system lets nobody make a namespace of processes")
    script = tmp_path / "script.py"
    script.write_text(FIRST_OF_ITS_NAMESPACE)
    root = tmp_path / "store"
    root.mkdir()
    (root / "journal").touch()
    command = [*NEW_NAMESPACE, sys.executable, str(script), str(root)]
    done = subprocess.run(command, capture_output=True, timeout=30, check=False, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "file_partition" in done.stdout


@pytest.mark.timeout(30)
async def test_leaving_does_not_wait_for_ever_for_a_filing_that_does_not_end(
    tmp_path: Path,
) -> None:
    with filing_processes() as file:
        for child in multiprocessing.active_children():
            os.kill(child.pid or 0, signal.SIGSTOP)
        waiting = file(request(tmp_path))
    assert multiprocessing.active_children() == []
    with pytest.raises(StoreError, match="the filing process died"):
        await waiting


def states_described(root: Path) -> list[bool]:
    """Of each state of the account's own item, whether it is a deleted one."""
    (file,) = root.glob("accounts/*/*/account_info")
    return [state["deleted"] for state in msgspec.json.decode(file.read_bytes())]


@pytest.mark.parametrize(
    "end", [account_delete(2, time_ms=LATER_MS), delete(ACCOUNT, 2, time_ms=LATER_MS)]
)
def test_what_ends_an_account_is_described(tmp_path: Path, end: MailboxEvent) -> None:
    store = PartitionStore(tmp_path)
    log = PartitionLog([put(ACCOUNT, 1, type=ItemType.ACCOUNT, address="anna@example.org")])
    owner = store.own()
    store.journal(owner, log.records)
    file_and_describe(store.request(owner))
    assert states_described(tmp_path) == [False]
    log.add(end)
    store.journal(owner, log.records)
    file_and_describe(store.request(owner))

    assert states_described(tmp_path) == [False, True]


def test_accounts_are_described_before_the_mark_says_so(tmp_path: Path) -> None:
    """Killed in between, the next filing describes them."""
    store = PartitionStore(tmp_path)
    log = PartitionLog([put(ACCOUNT, 1, type=ItemType.ACCOUNT, address="anna@example.org")])
    owner = store.own()
    store.journal(owner, log.records)
    told: list[tuple[tuple[str, ...], int]] = []
    request = store.request(owner)
    file_partition(request, Disk(), lambda accounts: told.append((accounts, store.filed_to)))

    assert told == [((ACCOUNT,), 0)]
    assert store.filed_to == 1
