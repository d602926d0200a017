"""A used-up quota: every database meets it as the full disk that it is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OPENED = {
    "bus": """
import asyncio
from streambackup.bus.embedded import EmbeddedBus
from streambackup.bus.port import TopicSpec
from streambackup.runtime.clock import SystemClock

async def use(path):
    bus = EmbeddedBus(path / "bus", clock=SystemClock())
    try:
        await bus.create([TopicSpec(name="t", partitions=1, retention_ms=-1)])
    finally:
        await bus.close()

def touch(path):
    asyncio.run(use(path))
""",
    "outbox": """
from streambackup.outbox.database import Database

def touch(path):
    Database(path, "maildir").close()
""",
    "index": """
from streambackup.blobs.index import DigestIndex

def touch(path):
    DigestIndex(path / "blobs.sqlite").close()
""",
}
TRIED = """
import sys
from pathlib import Path
from streambackup.errors import StreamBackupError

try:
    touch(Path(sys.argv[1]))
    print("done")
except StreamBackupError as error:
    print(type(error).__name__)
"""


@pytest.mark.tool("strace")
@pytest.mark.parametrize("opened", OPENED)
def test_it_is_no_space_and_over_when_there_is_some(opened: str, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(OPENED[opened] + TRIED)
    plain = [sys.executable, str(tmp_path / "script.py"), str(tmp_path)]

    def said(error: str) -> str:
        strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=pwrite64"]
        return output_of([*strace, "-e", f"inject=pwrite64:error={error}", *plain])

    assert said("EDQUOT") == said("ENOSPC") == "NoSpaceError"
    assert said("EIO") in ("BusError", "StoreError")
    assert output_of(plain) == "done"


def output_of(command: list[str]) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, check=True, text=True)
    return done.stdout.strip()
