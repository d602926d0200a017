"""What scripts/services stands on: processes found, started and ended, and one-line errors."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from parts.process import PartError, answers, end, find, free_ports, require_programs, run, spawn
from tests.real_parts import SCRIPTS

SLEEPER = "import signal, time; {}; print('ready', flush=True); time.sleep(3600)"


def services(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPTS / "services", *arguments],
        env={**os.environ, "STREAMBACKUP_SERVICES_DIR": str(folder), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def mark(tmp_path: Path) -> str:
    """A last argument by which a process of this test is found."""
    return str(tmp_path / "mark")


def start_sleeper(mark: str, log: Path, *, setup: str = "pass") -> subprocess.Popen[bytes]:
    process = spawn([sys.executable, "-c", SLEEPER.format(setup), mark], log=log)
    while b"ready" not in log.read_bytes():
        assert process.poll() is None
    return process


@pytest.mark.parametrize("setup", ["pass", "signal.signal(signal.SIGTERM, signal.SIG_IGN)"])
def test_a_process_is_found_by_its_arguments_and_ended(
    mark: str, tmp_path: Path, setup: str
) -> None:
    assert find([mark]) is None
    process = start_sleeper(mark, tmp_path / "log", setup=setup)
    assert find([mark]) == process.pid
    end(process.pid, patience_s=0.2)
    process.wait()
    assert find([mark]) is None
    end(process.pid, patience_s=0.2)


def test_a_started_process_survives_its_starter(mark: str, tmp_path: Path) -> None:
    process = start_sleeper(mark, tmp_path / "log")
    assert os.getsid(process.pid) == process.pid
    end(process.pid, patience_s=1)
    process.wait()


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_wanted_port_is_given_unless_it_is_taken(taken: int) -> None:
    assert answers(taken)
    first, second = free_ports(2, wanted=taken)
    assert len({first, second, taken}) == 3
    assert free_ports(2, wanted=first)[0] == first
    assert not answers(first)


def test_a_failing_command_is_one_line() -> None:
    script = "import sys; print('[ERROR] the reason'); print('more'); sys.exit(3)"
    with pytest.raises(PartError, match=r"failed: \[ERROR\] the reason$"):
        run([sys.executable, "-c", script])


def test_a_missing_program_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(PartError, match="apt-get install some-package"):
        require_programs({"surely-not-there": "some-package"})


def test_status_of_what_was_never_started(tmp_path: Path) -> None:
    status = services(tmp_path, "status", "kafka", "--json")
    assert json.loads(status.stdout) == {
        "name": "kafka",
        "state": "stopped",
        "address": None,
        "pid": None,
        "folder": str(tmp_path / "kafka"),
    }
    assert services(tmp_path, "stop").stdout == "kafka stopped\nkafka-secure stopped\n"
