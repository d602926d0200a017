"""Publishing that goes on while a test does something to those who record it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from tests.support.backup import Backup, clean_environment
from tests.support.running import Running

Round = tuple[Sequence[Mapping[str, Any]], Mapping[str, bytes]]
"""Lines to publish, and their files."""


class Publishing:
    """Publishes round after round from a thread; knows the transactions that are on the bus."""

    def __init__(self, backup: Backup, round_of: Callable[[int], Round]) -> None:
        self._backup = backup
        self._round_of = round_of
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.transactions = set[tuple[str, str]]()
        """Account and id."""
        self.rounds = 0

    def _run(self) -> None:
        while not self._stop.is_set():
            lines, files = self._round_of(self.rounds)
            for line, said in zip(lines, self._backup.publish(lines, files=files), strict=True):
                self.transactions.add((line["account"], said["transaction"]))
            self.rounds += 1

    @contextmanager
    def going_on(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join()


def worker(backup: Backup, name: str) -> Running:
    """A service of both workers, with a log of its own."""
    command = backup.command("run", "--role", "account", "--role", "blob")
    return Running(command, clean_environment(backup.root), backup.root / f"{name}.log")
