"""Processes that outlive the command which started them, found again by their command line."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path


class PartError(Exception):
    """One line that says what is wrong and what cures it."""


def require_programs(programs: dict[str, str]) -> None:
    """See that *programs* (command: Debian package) are there; root installs what is missing."""
    missing = {name: package for name, package in programs.items() if not shutil.which(name)}
    if not missing:
        return
    packages = sorted(set(missing.values()))
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise PartError(
            f"{' and '.join(missing)} not found; on Debian: apt-get install {' '.join(packages)}"
        )
    print(f"installing {' '.join(packages)}", flush=True)
    apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300"]
    run([*apt, "update"])
    run([*apt, "install", "-y", "--no-install-recommends", *packages])


def run(command: Sequence[str]) -> None:
    """Run *command* to its end; its last line of output becomes the error if it fails."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        command,
        check=False,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if done.returncode != 0:
        lines = [line for line in done.stdout.splitlines() if line.strip()] or ["no output"]
        errors = [line for line in lines if "ERROR" in line or "E: " in line]
        raise PartError(f"{command[0]} failed: {(errors or lines[-1:])[0].strip()}")


def spawn(command: Sequence[str], *, log: Path) -> subprocess.Popen[bytes]:
    """Start *command* in a session of its own, its output in *log*."""
    with open(log, "wb") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def find(arguments: Sequence[str]) -> int | None:
    """The process whose command line ends with *arguments*; None when there is none.

    A file with the process id would be wrong after kill -9 of either side; this cannot be.
    """
    wanted = b"".join(os.fsencode(argument) + b"\0" for argument in arguments)
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if (entry / "cmdline").read_bytes().endswith(wanted):
                return int(entry.name)
        except OSError:
            continue
    return None


def end(pid: int, *, patience_s: float) -> None:
    """Ask *pid* to stop, and make it stop after *patience_s*."""
    for number, limit_s in ((signal.SIGTERM, patience_s), (signal.SIGKILL, 10.0)):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            if not _alive(pid):
                return
            time.sleep(0.02)
    raise PartError(f"process {pid} does not end")


def _alive(pid: int) -> bool:
    """A zombie, whose parent has not waited for it, counts as gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def free_ports(count: int, *, wanted: int | None = None) -> list[int]:
    """*count* unused loopback ports, the first of them *wanted* if that one is unused."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for candidate, port in zip(sockets, [wanted or 0] + [0] * count, strict=False):
            candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                candidate.bind(("127.0.0.1", port))
            except OSError:
                candidate.bind(("127.0.0.1", 0))
        return [candidate.getsockname()[1] for candidate in sockets]
    finally:
        for candidate in sockets:
            candidate.close()
