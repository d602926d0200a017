"""A process that cannot help itself ends, so that whoever started it starts it again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from streambackup.errors import StuckError

ROOT = Path(__file__).resolve().parents[3]


def test_a_process_whose_consumers_all_hang_ends_with_one_clear_error(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tests.support.stuck_service", str(tmp_path / "store")],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )

    *_, error, hint = ended.stderr.splitlines()
    assert ended.returncode == StuckError.exit_code
    assert error.startswith("streambackup: the consumer of mailbox.transactions stood still")
    assert "nothing is lost" in hint
