"""Noticing what other processes publish.

SQLite tells nobody; it can only be asked whether a file has changed. A thread asks, which takes it
a few microseconds each time.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

INTERVAL_S = 0.015  # records of another process wait no longer than that


class Watch:
    """Calls *changed* on the running loop whenever one of *files* may have, until ``stop``."""

    def __init__(self, files: Sequence[Path], changed: Callable[[], None]) -> None:
        self._files = files
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bus-watch", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.ExitStack() as opened:
            databases = [
                opened.enter_context(contextlib.closing(sqlite3.connect(file)))
                for file in self._files
            ]
            versions: list[int] = []
            while not self._stopping.wait(INTERVAL_S):
                found = [_version(database) for database in databases]
                if found != versions:
                    versions = found
                    self._loop.call_soon_threadsafe(self._changed)

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()


def _version(database: sqlite3.Connection) -> int:
    """Differs from the last answer if anyone wrote since."""
    try:
        (version,) = database.execute("PRAGMA data_version").fetchone()
    except sqlite3.Error:
        return -1  # whoever looks meets the same error and can say it
    return int(version)
