"""The process of a source is killed; whatever it had done, each change has one id and is sent."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import pytest

from tests.corpus.mailbox_writer import Writer, snapshot_of
from tests.corpus.maildirs import make_folder
from tests.crash import relay_script
from tests.support.maildir import snapshot_of_view

SCRIPT = Path(relay_script.__file__)
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(SCRIPT.parents[2]), "PYTHONHASHSEED": "0"}
OBSERVATIONS = 6  # the account, two folders and three messages
AT_ONCE = 2
N_MAX = 200

pytestmark = [pytest.mark.crash, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("source")
    root = relay_script.root_at(directory)
    for folder, names in {"INBOX": "ab", "Work": "c"}.items():
        make_folder(root, folder)
        for name in names:
            path = root / ("" if folder == "INBOX" else f".{folder}") / "new" / name
            path.write_bytes(f"Subject: {name}\n\n".encode())
    asyncio.run(relay_script.prepare(directory))
    return directory


def killed_at(call: str, n: int, directory: Path) -> bool:
    """Run the script and kill it at its *n*-th *call*; False where it ended before that."""
    command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}"]
    command += ["-e", f"inject={call}:signal=KILL:when={n}"]
    command += [sys.executable, str(SCRIPT), str(directory), str(OBSERVATIONS)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, check=False)
    assert done.returncode in (0, -signal.SIGKILL, 128 + signal.SIGKILL), done.stderr
    return done.returncode != 0


@pytest.mark.tool("strace")
@pytest.mark.parametrize("call", ["pwrite64", "fdatasync"])
def test_killed_at_every_call(call: str, template: Path, tmp_path: Path) -> None:
    def trial(n: int) -> bool:
        directory = tmp_path / f"{call}-{n}"
        shutil.copytree(template, directory)
        killed = killed_at(call, n, directory)
        root = relay_script.root_at(directory)
        (root / "new" / "behind").write_bytes(b"Subject: behind\n\n")
        view = asyncio.run(relay_script.finish(directory))
        assert len(view.history) == OBSERVATIONS + 1
        shutil.rmtree(directory)
        return killed

    reached = 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for start in range(1, N_MAX, AT_ONCE):
            killed = list(pool.map(trial, range(start, start + AT_ONCE)))
            reached += sum(killed)
            if not all(killed):
                break
    assert 0 < reached < N_MAX


@pytest.mark.tool("strace")
def test_a_disk_that_is_full_for_a_while_loses_nothing(template: Path, tmp_path: Path) -> None:
    directory = tmp_path / "full"
    shutil.copytree(template, directory)
    log = tmp_path / "log"
    outbox = directory / "state" / "outbox-maildir.sqlite-wal"
    command = ["strace", "-f", "-qq", "-o", str(log), "-P", str(outbox), "-e", "trace=pwrite64"]
    command += ["-e", "inject=pwrite64:error=ENOSPC:when=20..26+3"]
    command += [sys.executable, str(SCRIPT), str(directory), str(OBSERVATIONS)]

    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, check=False, text=True)

    assert done.returncode == 0, done.stderr
    assert "ENOSPC" in log.read_text()
    assert "no space left" in done.stdout + done.stderr
    (relay_script.root_at(directory) / "new" / "behind").write_bytes(b"Subject: behind\n\n")
    assert len(asyncio.run(relay_script.finish(directory)).history) == OBSERVATIONS + 1


@pytest.mark.row("F024", part="exactly once")
@pytest.mark.parametrize("seed", range(3))
def test_killed_again_and_again_while_the_mailbox_changes(seed: int, tmp_path: Path) -> None:
    random = Random(f"kill/{seed}")
    root = relay_script.root_at(tmp_path)
    user = Writer(root, seed)
    asyncio.run(relay_script.prepare(tmp_path))
    command = [sys.executable, str(SCRIPT), str(tmp_path), "1000000"]
    for _ in range(6):
        user.deliver()
        with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for _ in range(random.randint(1, 6)):
                user.deliver()
                for _ in range(random.randint(0, 15)):
                    user.step()
                assert process.stdout.readline()
            for _ in range(random.randint(0, 15)):
                user.step()
            process.kill()
    user.deliver()

    view = asyncio.run(relay_script.finish(tmp_path))

    assert snapshot_of_view(view) == snapshot_of(root) == user.snapshot()
