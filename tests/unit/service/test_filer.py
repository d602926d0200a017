"""The process that files: what it answers, and what is left when it or its parent dies."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from streambackup.errors import StoreError
from streambackup.journal.mark import FiledMark
from streambackup.realtime.filing import FilingRequest
from streambackup.service.filer import filing_process

KILLED_AT_WORK = """
import os, signal
from streambackup.service.filer import filing_process

if __name__ == "__main__":
    with filing_process():
        os.kill(os.getpid(), signal.SIGKILL)
"""

FIRST_OF_ITS_NAMESPACE = """
import asyncio, os, sys
from pathlib import Path
from streambackup.journal.mark import FiledMark
from streambackup.realtime.filing import FilingRequest
from streambackup.service.filer import filing_process

async def main():
    with filing_process() as file:
        root = Path(sys.argv[1])
        mark = FiledMark(1, 0, 0, 0)
        await file(FilingRequest(root, "g", "mailbox.transactions", 0, 1, "w", mark))

if __name__ == "__main__":
    assert os.getpid() == 1
    try:
        asyncio.run(main())
    except Exception as error:
        print(*error.__notes__)
"""

NEW_NAMESPACE = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child")


def request(root: Path) -> FilingRequest:
    return FilingRequest(root, "g", "mailbox.transactions", 0, 1, "w", FiledMark(1, 0, 0, 0))


async def test_what_keeps_it_from_filing_is_raised_where_it_was_asked_for(tmp_path: Path) -> None:
    (tmp_path / "journal").touch()
    with filing_process() as file:
        for _ in range(2):
            with pytest.raises((StoreError, OSError)) as caught:
                await file(request(tmp_path))
            assert "file_partition" in "".join(caught.value.__notes__)


async def test_a_filer_that_was_killed_is_one_clear_error(tmp_path: Path) -> None:
    with filing_process() as file:
        (child,) = multiprocessing.active_children()
        os.kill(child.pid or 0, signal.SIGKILL)
        with pytest.raises(StoreError, match="the filing process died"):
            await file(request(tmp_path))


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
    command = [*NEW_NAMESPACE, sys.executable, script, root]
    done = subprocess.run(command, capture_output=True, timeout=30, check=False, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "file_partition" in done.stdout


@pytest.mark.timeout(30)
async def test_leaving_does_not_wait_for_ever_for_a_filing_that_does_not_end(
    tmp_path: Path,
) -> None:
    with filing_process() as file:
        (child,) = multiprocessing.active_children()
        os.kill(child.pid or 0, signal.SIGSTOP)
        waiting = file(request(tmp_path))
    assert multiprocessing.active_children() == []
    with pytest.raises(StoreError, match="the filing process died"):
        await waiting
