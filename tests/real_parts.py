"""Real programs that some tests need: started if asked, skipped loudly, or required.

``STREAMBACKUP_REQUIRE`` (a comma list such as ``kafka,strace``) names the parts whose absence is a
failure. Without it their tests are skipped, and the end of the run says so.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"
TOOLS = {  # name: Debian package, command that shows that it works here
    "strace": ("strace", ("strace", "-qq", "-o", "/dev/null", "true")),
    "mbsync": ("isync", ("env", "HOME=/", "mbsync", "--version")),
    "openssl": ("openssl", ("openssl", "version")),
    "systemd-analyze": ("systemd", ("systemd-analyze", "--version")),
    "unshare": ("util-linux", ("unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/tmp")),
}
KAFKA = "kafka"
SECURE_KAFKA = "kafka-secure"
SERVICES = {KAFKA: "kafka_address", SECURE_KAFKA: "secure_kafka"}  # and the fixture that needs it
NAMES = frozenset({*SERVICES, *TOOLS})


@dataclass(frozen=True)
class Ran:
    succeeded: bool
    last_line: str


def run(command: Sequence[str | Path]) -> Ran:
    """Run to the end; the last line of both outputs is what a person needs to know."""
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return Ran(done.returncode == 0, (done.stdout.strip().splitlines() or ["no output"])[-1])


class RealParts:
    """What the selected tests need, and what there is of it."""

    def __init__(self, *, required: frozenset[str], may_start: bool) -> None:
        unknown = sorted(required - NAMES)
        if unknown:
            known = ", ".join(sorted(NAMES))
            raise pytest.UsageError(f"STREAMBACKUP_REQUIRE: {unknown[0]} is not one of {known}")
        self.absent: dict[str, str] = {}
        self.running: dict[str, Mapping[str, Any]] = {}
        """What ``scripts/services status`` says of each service that the tests have."""
        self._required = required
        self._may_start = may_start
        self._started: list[str] = []
        self._missed: Counter[str] = Counter()

    def prepare(self, names: Iterable[str]) -> None:
        """Look for the parts, and get and start those that are not there."""
        for name in sorted(set(names)):
            prepare = self._prepare_service if name in SERVICES else self._prepare_tool
            problem = prepare(name)
            if problem is not None:
                self.absent[name] = problem

    def check(self, name: str) -> None:
        """Skip or fail the running test when part *name* is not there."""
        problem = self.absent.get(name)
        if problem is None:
            return
        self._missed[name] += 1
        if name in self._required:
            pytest.fail(f"{name} is required: {problem}", pytrace=False)
        pytest.skip(f"{name} cannot be had: {problem}")

    def report(self) -> list[str]:
        """One line for each part that tests went without."""
        return [
            f"NOT PROVEN: {count} tests went without {name} ({self.absent[name]})"
            for name, count in sorted(self._missed.items())
        ]

    def release(self) -> None:
        """Stop what ``prepare`` started."""
        while self._started:
            run([SCRIPTS / "services", "stop", self._started.pop()])

    def _prepare_tool(self, name: str) -> str | None:
        package, trial = TOOLS[name]
        if shutil.which(name) is None and self._may_start:
            run([SCRIPTS / "system-package", package])
        if shutil.which(name) is None:
            return f"not installed; on Debian: apt-get install {package}"
        tried = run(trial)
        return None if tried.succeeded else tried.last_line

    def _prepare_service(self, name: str) -> str | None:
        if self._found_running(name):
            return None
        if not self._may_start:
            return f"not running; scripts/services start {name}"
        started = run([SCRIPTS / "services", "start", name])
        if started.succeeded:
            self._started.append(name)
        return None if self._found_running(name) else started.last_line

    def _found_running(self, name: str) -> bool:
        status = run([SCRIPTS / "services", "status", name, "--json"])
        described = json.loads(status.last_line) if status.succeeded else {"state": "unknown"}
        if described["state"] != "running":
            return False
        self.running[name] = described
        return True


def needed(item: pytest.Item) -> set[str]:
    """The parts that a test names by its marks and fixtures."""
    names = {mark.args[0] for mark in item.iter_markers("tool")}
    fixtures = getattr(item, "fixturenames", ())
    names |= {name for name, fixture in SERVICES.items() if fixture in fixtures}
    if item.get_closest_marker(KAFKA):
        names.add(KAFKA)
    unknown = sorted(names - NAMES)
    if unknown:
        raise pytest.UsageError(f"{item.nodeid}: no real part is called {unknown[0]}")
    return names


def from_environment(*, may_start: bool) -> RealParts:
    listed = os.environ.get("STREAMBACKUP_REQUIRE", "")
    names = frozenset(name.strip() for name in listed.split(",") if name.strip())
    return RealParts(required=names, may_start=may_start)
