"""The cluster of deploy/kafka, on this machine: its own files, with other ports and directories."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from parts.certificates import Authority
from parts.kafka_node import KafkaNode
from parts.process import free_ports
from tests.real_parts import SCRIPTS

DEPLOY = SCRIPTS.parent / "deploy" / "kafka"
NUMBERS = (1, 2, 3)
QUICKER = """
num.network.threads=2
num.io.threads=2
log.cleaner.dedupe.buffer.size=4194304
offsets.topic.num.partitions=1
transaction.state.log.num.partitions=1
"""


class Broker(KafkaNode):
    """One of the three; *places* says what stands for the paths and addresses of its file, to which
    *more* is added.
    """

    heap = "256m"

    def __init__(self, folder: Path, number: int, places: Mapping[str, str], more: str) -> None:
        folder.mkdir(mode=0o700)
        super().__init__(folder)
        self.name = f"kafka{number}"
        self._number = number
        self._places = places
        self._more = more
        self._process: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        """Start it; it serves once two have begun."""
        if self._log().exists():  # The next life would write over it.
            self._log().rename(self._log().with_name(f"server-{len(self.logs)}.log"))
        self._configure()
        self._process = self._launch()

    def wait(self) -> None:
        process = self._process
        assert process is not None
        self._wait_ready(lambda: process.poll() is None)

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It keeps its connections and answers nothing, until the block ends."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    @property
    def logs(self) -> list[Path]:
        """What it wrote, a file for each life."""
        return sorted(self._folder.glob("server*.log"))

    def _template(self) -> str:
        text = (DEPLOY / f"broker-{self._number}.properties").read_text() + self._more
        for found, place in {**self._places, "/var/lib/kafka": str(self._data)}.items():
            text = text.replace(found, place)
        return text + QUICKER

    def _ports(self) -> dict[str, int]:
        return {"port": int(self._places[f"{self.name}:9092"].rpartition(":")[2])}


class ThreeBrokers:
    """``settings`` are those with which the administrator of the cluster comes."""

    def __init__(self, folder: Path, more: Mapping[int, str]) -> None:
        authority = self._authority = Authority(folder / "tls")
        ports = iter(free_ports(2 * len(NUMBERS)))
        places = {"/etc/kafka/tls": str(authority.folder)}
        for number in NUMBERS:
            authority.issue(f"kafka{number}", hosts="IP:127.0.0.1")
            for port in (9092, 9093):
                places[f"kafka{number}:{port}"] = f"127.0.0.1:{next(ports)}"
        self.brokers = [Broker(folder / f"broker-{n}", n, places, more.get(n, "")) for n in NUMBERS]
        self.settings: dict[str, str | int] = {
            "bus.kind": "kafka",
            "bus.kafka.bootstrap_servers": ",".join(places[f"kafka{n}:9092"] for n in NUMBERS),
            "bus.kafka.tls.enabled": True,
            "bus.kafka.tls.ca_file": str(authority.certificate),
            **self.as_user("kafka-admin"),
        }
        self._admin = folder / "admin.properties"
        self._admin.write_text(
            "security.protocol=SSL\n"
            f"ssl.truststore.type=PEM\nssl.truststore.location={authority.certificate}\n"
            f"ssl.keystore.type=PEM\nssl.keystore.location={authority.issue('kafka-admin')}\n"
        )
        self._jars = folder / KafkaNode.name / "jars"

    def as_user(self, name: str) -> dict[str, str | int]:
        """The setting with which *name* comes."""
        return {"bus.kafka.tls.certificate_file": str(self._authority.issue(name))}

    def acls(self, words: list[str]) -> None:
        """Kafka's tool for rights, as the administrator calls it; *words* follow its name."""
        command = ["java", "-Xmx128m", "-Dlog4j2.level=ERROR", "-cp", f"{self._jars}/*"]
        command += ["org.apache.kafka.tools.AclCommand", *words]
        command += ["--command-config", str(self._admin)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def three_brokers(folder: Path, more: Mapping[int, str] | None = None) -> Iterator[ThreeBrokers]:
    """The cluster at work, until the block ends; it shares only the jars with other brokers. *more*
    is added to the file of the broker of that number.
    """
    status: list[str | Path] = [SCRIPTS / "services", "status", KafkaNode.name, "--json"]
    shared = json.loads(subprocess.run(status, check=True, stdout=subprocess.PIPE).stdout)
    (folder / KafkaNode.name).mkdir()
    (folder / KafkaNode.name / "jars").symlink_to(Path(shared["folder"]) / "jars")
    cluster = ThreeBrokers(folder, more or {})
    try:
        for broker in cluster.brokers:
            broker.begin()
        for broker in cluster.brokers:
            broker.wait()
        yield cluster
    finally:
        for broker in cluster.brokers:
            broker.kill()
