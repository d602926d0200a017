"""A process of ours that keeps running: waited for by what it shows, never by time alone."""

from __future__ import annotations

import re
import signal
import subprocess
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

TICK_S = 0.02
LIMIT_S = 50
_LISTENING = re.compile(rb'"host":"(127\.0\.0\.1)","port":(\d+),"event":"listening"')


class Running:
    """A service process, from its start until it was told to stop or was killed."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
            )
        self._url = ""
        self.killed = False

    def __enter__(self) -> Running:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.alive:
            self.kill()

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def log(self) -> bytes:
        """What it wrote so far."""
        return self._log.read_bytes()

    def events(self, name: str) -> list[dict[str, Any]]:
        """The lines of its log with this event."""
        lines = (line for line in self.log.splitlines() if line.startswith(b"{"))
        decoded = (msgspec.json.decode(line) for line in lines)
        return [event for event in decoded if event["event"] == name]

    def wait_until(self, holds: Callable[[], T | None], what: str) -> T:
        """The first true answer of *holds*, which is asked again and again while it runs."""
        for _ in range(int(LIMIT_S / TICK_S)):
            found = holds()
            if found:
                return found
            try:
                self._process.wait(TICK_S)
            except subprocess.TimeoutExpired:
                continue
            raise AssertionError(f"it ended before {what}: {self.log.decode()}")
        raise AssertionError(f"it never came that {what}: {self.log.decode()}")

    def wait_until_caught_up(self) -> dict[str, Any]:
        """All that is on the bus by now is durable in the store; the status then."""
        return self.wait_until(
            lambda: found if (found := self.status())["lag"] == 0 else None, "all was durable"
        )

    def status(self) -> dict[str, Any]:
        """What it says of itself over HTTP."""
        status: dict[str, Any] = msgspec.json.decode(self.get("/status"))
        return status

    def get(self, path: str) -> bytes:
        if not self._url:
            found = self.wait_until(lambda: _LISTENING.search(self.log), "it listened")
            self._url = f"http://{found[1].decode()}:{found[2].decode()}"
        with urllib.request.urlopen(self._url + path, timeout=LIMIT_S) as answer:
            body: bytes = answer.read()
        return body

    def stop(self, *, code: int = 0) -> None:
        """Ask it to end; it does so with the exit *code*."""
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(LIMIT_S) == code, self.log.decode()

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        return self._process.wait(LIMIT_S)

    def kill(self) -> None:
        """End it at once, whatever it is doing."""
        self.killed = True
        self._process.kill()
        self._process.wait(LIMIT_S)
