"""A broker, a store and the real service of one bench, all in a directory that goes with it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from benches._harness import say
from parts.kafka_node import KafkaNode

ROOT = Path(__file__).resolve().parents[2]
COMMAND = str(Path(sys.executable).with_name("streambackup"))
LOOK_EVERY_S = 0.05
WAIT_LIMIT_S = 600.0


@contextlib.contextmanager
def scratch(name: str) -> Iterator[Path]:
    """A directory for everything that a bench writes, next to nothing of yours."""
    with tempfile.TemporaryDirectory(prefix=f"streambackup-bench-{name}-") as directory:
        yield Path(directory)


@contextlib.contextmanager
def own_kafka(directory: Path) -> Iterator[str]:
    """The address of a broker that holds nothing yet and that nobody else uses."""
    folder = directory / "kafka"
    folder.mkdir()
    fetched = Path(os.environ.get("STREAMBACKUP_SERVICES_DIR") or ROOT / ".services", "kafka/jars")
    if fetched.exists():
        shutil.copytree(fetched, folder / "jars", copy_function=os.link)
    node = KafkaNode(folder)
    say("starting kafka")
    node.start()
    try:
        yield node.address()
    finally:
        node.stop(wipe=True)


class Store:
    """A store that can begin again, with the topics that are its own."""

    def __init__(self, directory: Path, settings: Sequence[str] = ()) -> None:
        self.path = directory / "store"
        self._fresh = directory / "fresh-store"
        self._settings = list(settings)
        self.generation = ""
        self._used = 0

    @classmethod
    def on_kafka(cls, directory: Path, address: str, partitions: int) -> Store:
        """Makes the topics too."""
        kafka = ["--set", "bus.kind=kafka", "--set", f"bus.kafka.bootstrap_servers={address}"]
        store = cls(directory, kafka)
        store.run("topic", "create", "--partitions", str(partitions))
        store.generation = json.loads(store.run("init", "--json"))["generation"]
        return store

    def arguments(self, *command: str) -> list[str]:
        return [COMMAND, *command, "--path", str(self.path), *self._settings]

    def run(self, *command: str) -> str:
        """What a command prints."""
        done = subprocess.run(self.arguments(*command), check=True, stdout=subprocess.PIPE)
        return done.stdout.decode()

    def keep_fresh(self) -> None:
        """Remember the store as it is now, for ``begin_again``."""
        shutil.copytree(self.path, self._fresh)

    def begin_again(self) -> None:
        """The store as it was when it was kept.

        What the last run wrote stays aside: while the file system remembers what was just deleted,
        it is slow to make new files.
        """
        self._used += 1
        self.path.rename(self.path.with_name(f"used-{self._used}"))
        shutil.copytree(self._fresh, self.path)
        os.sync()

    def last_written_s(self) -> float:
        """When the journal grew last, in seconds since 1970: its last sync ends some ms later."""
        segments = (self.path / "journal").rglob("*.journal")
        return max(segment.stat().st_mtime for segment in segments)


class Service:
    """``streambackup run`` on a store; *name* tells it from others at work at the same time."""

    def __init__(self, store: Store, *options: str, name: str = "service") -> None:
        self._log = store.path.with_name(f"{name}.log")
        self._stderr = self._log.open("wb")
        listen = ["--set", "http.listen=127.0.0.1:0", "--set", "log.format=json"]
        self.process = subprocess.Popen(
            [*store.arguments("run"), *listen, *options], stderr=self._stderr
        )
        self._address = str(self._logged("listening")["port"])
        running = datetime.fromisoformat(str(self._logged("running")["timestamp"]))
        self.began_s = running.timestamp()
        """When it had made ready and began to look at the bus, in seconds since 1970."""

    def _logged(self, event: str) -> dict[str, object]:
        """The first line of that name, once it is in the log."""
        deadline = time.monotonic() + WAIT_LIMIT_S
        while time.monotonic() < deadline:
            if found := self.logged(event):
                return found[0]
            if self.process.poll() is not None:
                break
            time.sleep(LOOK_EVERY_S)
        sys.exit(f"the service did not say {event!r}:\n{self._log.read_text()}")

    def logged(self, event: str) -> list[dict[str, object]]:
        """The lines of that name in the log."""
        lines = [line for line in self._log.read_text().splitlines() if line.startswith("{")]
        return [found for line in lines if (found := json.loads(line)).get("event") == event]

    def metric(self, name: str) -> float:
        """The sum over a metric's labels."""
        return sum(self.labelled(name).values())

    def labelled(self, name: str) -> dict[str, float]:
        """A metric's values, by its labels."""
        url = f"http://127.0.0.1:{self._address}/metrics"
        with urllib.request.urlopen(url) as answer:
            lines = answer.read().decode().splitlines()
        found = (line.rpartition(" ") for line in lines if line.startswith(name))
        return {labels: float(value) for labels, _, value in found}

    def wait_for(self, name: str, value: float, *, look_every_s: float = LOOK_EVERY_S) -> None:
        """Return when a metric has reached *value*."""
        deadline = time.monotonic() + WAIT_LIMIT_S
        with contextlib.suppress(OSError):
            while time.monotonic() < deadline:
                if self.metric(name) >= value:
                    return
                time.sleep(look_every_s)
        sys.exit(f"{name} did not reach {value:g}:\n{self._log.read_text()}")

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        wait_for_end(self.process)
        self._stderr.close()

    def stop(self) -> float:
        """End it as an operator does, and wait until it has finished what it had in hand.

        Returns the seconds of processor time that it and the processes it started have used.
        """
        self.process.send_signal(signal.SIGTERM)
        cpu_s, code = wait_for_end(self.process)
        self._stderr.close()
        if code != 0:
            sys.exit(f"the service ended with {code}:\n{self._log.read_text()}")
        return cpu_s


def wait_for_end(process: subprocess.Popen[bytes]) -> tuple[float, int]:
    """Seconds of processor time, those of its own children too, and the exit code."""
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return used.ru_utime + used.ru_stime, process.returncode
