"""One Apache Kafka node (KRaft, broker and controller in one process) from its Maven jars."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from parts.process import PartError, answers, end, find, free_ports, require_programs, run, spawn

FILES = Path(__file__).resolve().parent / "kafka"
COPY_JARS = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
CLUSTER_ID = "c3RyZWFtYmFja3VwLTAwMQ"
START_LIMIT_S = 120.0  # a few seconds on a machine with nothing else to do
STOP_LIMIT_S = 20.0


class KafkaNode:
    """The node whose settings, log and data stand in *folder*; all nodes share their jars.

    ``address`` is the only file that others read. It stays after a stop, because the next start
    takes the same port again if it can: clients that were connected find the node again.
    """

    name = "kafka"
    port_variable = "STREAMBACKUP_KAFKA_PORT"
    heap = "512m"
    listeners: tuple[str, ...] = ()
    """Those beside PLAINTEXT, whose address is ``address``; each has a port of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._jars = folder.parent / KafkaNode.name / "jars"
        self._data = folder / "data"
        self._settings = folder / "server.properties"
        self._address = folder / "address"

    def start(self) -> None:
        """Return once the node serves."""
        if self._pid() is not None:
            self._wait_ready(lambda: self._pid() is not None)
            return
        require_programs({"java": "default-jre-headless"})
        self._fetch()
        self._configure()
        node = self._launch()
        self._wait_ready(lambda: node.poll() is None)

    def stop(self, *, wipe: bool) -> None:
        pid = self._pid()
        if pid is not None:
            end(pid, patience_s=STOP_LIMIT_S)
        if wipe:
            shutil.rmtree(self._data, ignore_errors=True)
            self._address.unlink(missing_ok=True)

    def status(self) -> dict[str, object]:
        pid = self._pid()
        state = "stopped" if pid is None else "running" if answers(self._port()) else "starting"
        return {
            "name": self.name,
            "state": state,
            "address": self.address() if pid is not None else None,
            **({"listeners": self._listeners()} if self.listeners and pid is not None else {}),
            "pid": pid,
            "folder": str(self._folder),
        }

    def address(self) -> str:
        return self._address.read_text().strip()

    def _port(self) -> int:
        return int(self.address().rpartition(":")[2])

    def _pid(self) -> int | None:
        return find(["kafka.Kafka", str(self._settings)])

    def _fetch(self) -> None:
        """Have exactly the listed jars, byte for byte."""
        wanted = _listed_jars()
        if _sums(self._jars) == wanted:
            return
        require_programs({"mvn": "maven"})
        print("fetching Apache Kafka (45 MB)", flush=True)
        for abandoned in self._folder.glob("fetch-*"):
            shutil.rmtree(abandoned)
        with tempfile.TemporaryDirectory(dir=self._folder, prefix="fetch-") as fresh:
            pom = ["-f", str(FILES / "pom.xml"), "-DincludeScope=runtime"]
            run(["mvn", "-q", "-B", *pom, COPY_JARS, f"-DoutputDirectory={fresh}/jars"])
            found = _sums(Path(fresh, "jars"))
            if found != wanted:
                differing = sorted(name for name, _ in found.items() ^ wanted.items())
                raise PartError(f"{differing[0]} is not what {FILES / 'jars.sha256'} lists")
            self._jars.parent.mkdir(mode=0o700, exist_ok=True)
            shutil.rmtree(self._jars, ignore_errors=True)
            Path(fresh, "jars").rename(self._jars)

    def _prepare(self) -> None:
        """Make what the settings name."""

    def _template(self) -> str:
        return (FILES / "server.properties").read_text()

    def _values(self) -> dict[str, object]:
        """What the template names beside ports and directories."""
        return {}

    def _format_options(self) -> list[str]:
        return []

    def _listeners(self) -> dict[str, str]:
        """The address of each of ``listeners``, as it was at the last start."""
        text = self._settings.read_text()
        found = (re.findall(rf"\b{name}://([\w.]+:\d+)", text)[-1] for name in self.listeners)
        return dict(zip(self.listeners, found, strict=True))

    def _configure(self) -> None:
        self._data.mkdir(mode=0o700, exist_ok=True)
        self._prepare()
        ports = self._ports()
        values = {"data": self._data, **ports, **self._values()}
        self._settings.touch(mode=0o600)
        self._settings.write_text(self._template().format(**values))
        logging = (FILES / "log4j2.properties").read_text()
        (self._folder / "log4j2.properties").write_text(logging.format(log=self._log()))
        self._address.write_text(f"127.0.0.1:{ports['port']}\n")
        if not (self._data / "meta.properties").exists():
            run(
                self._java(["-XX:TieredStopAtLevel=1", "-Dlog4j2.level=ERROR"])
                + ["kafka.tools.StorageTool", "format", "--ignore-formatted"]
                + ["-t", CLUSTER_ID, "-c", str(self._settings), *self._format_options()]
            )

    def _ports(self) -> dict[str, int]:
        """The ports to listen on: that of ``address``, the controller's, and the listeners'."""
        port, controller_port, *others = free_ports(
            2 + len(self.listeners), wanted=self._wanted_port()
        )
        chosen = os.environ.get(self.port_variable) or "0"
        if chosen not in ("0", str(port)):
            raise PartError(f"{self.port_variable}: port {chosen} is in use")
        names = (f"{listener.lower()}_port" for listener in self.listeners)
        return {
            "port": port,
            "controller_port": controller_port,
            **dict(zip(names, others, strict=True)),
        }

    def _wanted_port(self) -> int | None:
        chosen = os.environ.get(self.port_variable)
        if chosen and not chosen.isdecimal():
            raise PartError(f"{self.port_variable}: {chosen} is not a port number")
        if chosen:
            return int(chosen)
        return self._port() if self._address.exists() else None

    def _launch(self) -> subprocess.Popen[bytes]:
        heap = os.environ.get("STREAMBACKUP_KAFKA_HEAP", self.heap)
        configuration = self._folder / "log4j2.properties"
        options = [f"-Xmx{heap}", "-Dlog4j2.disableJmx=true", "-Djava.awt.headless=true"]
        command = self._java([*options, f"-Dlog4j2.configurationFile={configuration}"])
        return spawn(
            [*command, "kafka.Kafka", str(self._settings)], log=self._folder / "output.log"
        )

    def _wait_ready(self, lives: Callable[[], bool]) -> None:
        """The node opens its port when it is ready to serve, not before."""
        deadline = time.monotonic() + START_LIMIT_S
        while not answers(self._port()):
            if not lives():
                raise PartError(
                    f"{self.name} ended while starting, see {self._log()}; if its data is damaged: "
                    f"scripts/services stop {self.name} --wipe"
                )
            if time.monotonic() > deadline:
                raise PartError(
                    f"{self.name} is not ready after {START_LIMIT_S:.0f} s: {self._log()}"
                )
            time.sleep(0.05)

    def _log(self) -> Path:
        return self._folder / "server.log"

    def _java(self, options: list[str]) -> list[str]:
        return ["java", "-XX:+UseSerialGC", *options, "-cp", f"{self._jars}/*"]


def _listed_jars() -> dict[str, str]:
    lines = (FILES / "jars.sha256").read_text().splitlines()
    return {name: digest for digest, name in (line.split() for line in lines)}


def _sums(folder: Path) -> dict[str, str]:
    return {jar.name: hashlib.sha256(jar.read_bytes()).hexdigest() for jar in folder.glob("*.jar")}
