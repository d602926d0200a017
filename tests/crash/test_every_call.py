"""The workers' process is killed at its n-th write, sync, rename, unlink and mkdir, for every n;
whoever starts next mends it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from streambackup.coherency.check import check_store
from streambackup.reading.fingerprint import fingerprint
from streambackup.reading.store_reader import StoreReader
from tests.crash import script

SCRIPT = Path(script.__file__)
CALLS = ("write", "fdatasync", "fsync", "syncfs", "rename", "unlink", "mkdir")
"""By these the store changes; what SQLite writes by ``pwrite64`` counts with the sync behind it."""
AT_ONCE = 2
N_MAX = 50 * script.ROUNDS

pytestmark = [
    pytest.mark.crash,
    pytest.mark.tool("strace"),
    pytest.mark.timeout(200 * script.ROUNDS),
]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("crash") / "template"
    asyncio.run(script.prepare(root))
    return root


@pytest.fixture(scope="module")
def undisturbed(template: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    root = script.copy_of(template, tmp_path_factory.mktemp("crash") / "undisturbed")
    asyncio.run(script.consume(root))
    report = check_store(root)
    assert report.findings == ()
    assert list(root.glob("accounts/*/*/*.*.jsonl")) != []
    assert report.accounts == len(script.ACCOUNTS)
    return fingerprint(StoreReader(root))


def killed_at(call: str, n: int, template: Path, root: Path) -> bool:
    """Run the script and kill it at its *n*-th *call*; False where it ended before that."""
    script.copy_of(template, root)
    command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}"]
    command += ["-e", f"inject={call}:signal=KILL:when={n}", sys.executable, str(SCRIPT), str(root)]
    environment = {**os.environ, "PYTHONPATH": str(SCRIPT.parents[2]), "PYTHONHASHSEED": "0"}
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert done.returncode in (0, -signal.SIGKILL, 128 + signal.SIGKILL), done.stderr
    return done.returncode != 0


def mend_and_compare(root: Path, undisturbed: str) -> None:
    """What is left has no fault; a restart finishes the work,
    and the result is the undisturbed one.
    """
    left = check_store(root)
    assert [finding for finding in left.findings if finding.is_fault] == []
    asyncio.run(script.consume(root))
    mended = check_store(root)
    assert [finding for finding in mended.findings if finding.is_fault] == []
    assert undisturbed == fingerprint(StoreReader(root))


@pytest.mark.row("F017")
@pytest.mark.parametrize("call", CALLS)
def test_killed_at_every_call(call: str, template: Path, undisturbed: str, tmp_path: Path) -> None:
    """Whichever call is the last one: no fault, and after a restart the same histories."""

    def trial(n: int) -> bool:
        root = tmp_path / f"{call}-{n}"
        killed = killed_at(call, n, template, root)
        mend_and_compare(root, undisturbed)
        return killed

    reached = 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for start in range(1, N_MAX, AT_ONCE):
            killed = list(pool.map(trial, range(start, start + AT_ONCE)))
            reached += sum(killed)
            if not all(killed):
                break
    assert 0 < reached < N_MAX
