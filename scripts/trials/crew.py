"""The workers of a chaos run: processes that are started, disturbed, and watched."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from tests.support.backup import clean_environment
from tests.support.running import Running

GOOD_ENDS = {0, 20, 130, -signal.SIGTERM}
"""Exit codes after SIGTERM: 20 where the brokers were not there to finish with, the others where it
had only begun to start.
"""


class Life(NamedTuple):
    """One process of a worker."""

    name: str
    running: Running


class Absence(NamedTuple):
    """A process stood still from one time to another, in seconds since 1970."""

    life: str
    from_s: float
    until_s: float


class Taking(NamedTuple):
    """A process took a partition."""

    at_s: float
    life: str
    topic: str
    partition: int


class Worker:
    """A place for one worker at a time; ``current`` is the one at work."""

    def __init__(self, number: int, command: Sequence[str], folder: Path) -> None:
        """*command* starts it; its logs are in *folder*."""
        self.number = number
        self.lives: list[Life] = []
        self.current: Life | None = None
        self.absences: list[Absence] = []
        self.fell: list[str] = []
        """How processes ended that nobody had told to, or otherwise than they should."""
        self.faults: list[str] = []
        self.kills = 0
        self._command = command
        self._folder = folder
        self._leaving: list[Life] = []
        self._stopped_s = 0.0

    def start(self) -> None:
        name = f"worker-{self.number}.{len(self.lives) + 1}"
        environment = clean_environment(self._folder)
        life = Life(name, Running(self._command, environment, self._folder / f"{name}.log"))
        self.lives.append(life)
        self.current = life

    def kill(self) -> None:
        if self.current is not None:
            self.current.running.kill()
            self.current = None
            self.kills += 1

    def leave(self) -> None:
        """Tell it to end; it has gone by the end of the run."""
        if self.current is not None:
            self._signal(signal.SIGTERM)
            self._leaving.append(self.current)
            self.current = None

    def stop(self, now_s: float) -> None:
        self._stopped_s = now_s
        self._signal(signal.SIGSTOP)

    def go_on(self, now_s: float) -> None:
        if self._stopped_s and self.current is not None:
            self.absences.append(Absence(self.current.name, self._stopped_s, now_s))
            self._signal(signal.SIGCONT)
        self._stopped_s = 0.0

    def look_after(self) -> None:
        """Start it again where it ended by itself, as a supervisor does."""
        if self.current is not None and not self.current.running.alive:
            self.fell.append(_ending(self.current, "by itself"))
            self._stopped_s = 0.0
            self.start()

    def finish(self) -> None:
        """Tell it to end and wait, also for those told before. Blocking."""
        self.leave()
        for life in self._leaving:
            try:
                code = life.running.wait()
            except subprocess.TimeoutExpired:
                self.faults.append(f"{life.name} did not end when told to")
                continue
            if code not in GOOD_ENDS:
                self.fell.append(_ending(life, "told to"))

    def abandon(self) -> None:
        for life in self.lives:
            if life.running.alive:
                life.running.kill()

    def look_at_logs(self) -> None:
        """A stack trace in one is a fault."""
        traced = [life.name for life in self.lives if b"Traceback" in life.running.log]
        self.faults += [f"{name} logged a stack trace" for name in traced]

    def takings(self) -> Iterator[Taking]:
        """What its processes took, as their logs say."""
        for life in self.lives:
            for event in life.running.events("partition_taken"):
                at_s = datetime.fromisoformat(event["timestamp"]).timestamp()
                yield Taking(at_s, life.name, event["topic"], event["partition"])

    def _signal(self, number: signal.Signals) -> None:
        if self.current is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.current.running.pid, number)


def _ending(life: Life, how: str) -> str:
    """One line for what is told of it, and how far it had come."""
    lines = life.running.log.decode(errors="replace").splitlines()
    words = next(
        (line for line in reversed(lines) if line.startswith("streambackup: ")), lines[-1:]
    )
    reach = "at work" if life.running.events("partition_taken") else "while it started"
    return f"{life.name}, {reach}, {how}, ended with {life.running.wait()}: {words}"


def woken_zombies(absences: Iterable[Absence], takings: Iterable[Taking]) -> int:
    """How many processes went on with a partition that another one had taken meanwhile."""
    in_order = sorted(takings)
    return sum(_is_zombie(absence, in_order) for absence in absences)


def _is_zombie(absence: Absence, takings: Iterable[Taking]) -> bool:
    holders: dict[tuple[str, int], str] = {}
    for taking in takings:
        at = taking.topic, taking.partition
        if taking.at_s > absence.until_s:
            return False
        if taking.at_s <= absence.from_s:
            holders[at] = taking.life
        elif holders.get(at) == absence.life != taking.life:
            return True
    return False
