"""A broker of one's own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

from tests.real_parts import SCRIPTS


class OwnKafka:
    """A broker that a test may kill; it shares only the jars with everybody's."""

    def __init__(self, folder: Path) -> None:
        self._environment = {**os.environ, "STREAMBACKUP_SERVICES_DIR": str(folder)}
        self._environment["STREAMBACKUP_KAFKA_HEAP"] = "256m"
        shared = json.loads(_services("status", "kafka", "--json"))["folder"]
        (folder / "kafka").mkdir()
        (folder / "kafka" / "jars").symlink_to(Path(shared) / "jars")
        self.start()

    def start(self) -> None:
        last_line = _services("start", "kafka", environment=self._environment).splitlines()[-1]
        self.address = last_line.split()[1]

    def kill(self) -> None:
        os.kill(self._pid(), signal.SIGKILL)

    def freeze(self) -> None:
        """It keeps its connections, and answers nothing, until it is told to ``thaw``."""
        os.kill(self._pid(), signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self._pid(), signal.SIGCONT)

    def _pid(self) -> int:
        status = json.loads(_services("status", "kafka", "--json", environment=self._environment))
        return int(status["pid"])

    def stop(self) -> None:
        _services("stop", "kafka", environment=self._environment)


def _services(*arguments: str, environment: dict[str, str] | None = None) -> str:
    command: list[str | Path] = [SCRIPTS / "services", *arguments]
    return subprocess.run(
        command, env=environment, check=True, stdout=subprocess.PIPE, text=True
    ).stdout
