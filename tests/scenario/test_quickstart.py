"""The first command that a newcomer types."""

from __future__ import annotations

import getpass
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.corpus.mailbox_writer import Writer

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(180)]


def quickstart(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "quickstart.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def everything_in(root: Path) -> dict[str, tuple[int, bytes]]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def test_sample() -> None:
    """Without an argument: a living sample, a mail deleted and brought back,
    a check without fault.
    """
    done = quickstart()

    assert done.returncode == 0, done.stdout + done.stderr
    assert "It is there again, byte for byte" in done.stdout
    assert "0 faults" in done.stdout
    assert done.stderr == ""


def test_own_maildir(tmp_path: Path) -> None:
    """With a Maildir: nothing in it changes, and a restored message equals the original."""
    maildir = tmp_path / "Maildir"
    writer = Writer(maildir, seed=7)
    for _ in range(20):
        writer.step()
    before = everything_in(maildir)

    done = quickstart(str(maildir))

    assert done.returncode == 0, done.stdout + done.stderr
    assert "byte for byte what the mailbox holds" in done.stdout
    assert f"as {getpass.getuser()}@{socket.gethostname()}'s" in done.stdout
    assert everything_in(maildir) == before
    assert [path.name for path in tmp_path.iterdir()] == ["Maildir"]


def test_no_maildir(tmp_path: Path) -> None:
    """A directory that is no Maildir is refused in one line."""
    done = quickstart(str(tmp_path))

    assert done.returncode == 2
    assert "is no Maildir" in done.stderr


@pytest.mark.parametrize("words", [["-x"], ["one", "two"], ["--account", "ann"]])
def test_what_it_does_not_know_gets_its_usage(words: list[str]) -> None:
    done = quickstart(*words)

    assert done.returncode == 2
    assert done.stderr.startswith("usage: scripts/quickstart ")
