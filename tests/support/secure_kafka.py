"""The real broker that wants to know who comes, and the settings with which one may."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from parts.kafka_node import KafkaNode

TLS = "bus.kafka.tls"
SASL = "bus.kafka.sasl"
Settings = Mapping[str, str | int]


@dataclass(frozen=True)
class SecureKafka:
    """``open_address`` asks for nothing and gives every right: for setting a test up."""

    open_address: str
    listeners: Mapping[str, str]
    folder: Path

    @property
    def password_file(self) -> Path:
        """Every user's password."""
        return self.folder / "password"

    @property
    def password(self) -> str:
        return self.password_file.read_text().strip()

    @property
    def ca_file(self) -> Path:
        return self.folder / "tls" / "ca.pem"

    def by_password(self, mechanism: str, user: str = "admin") -> Settings:
        return {
            **self._encrypted("SASL_SSL"),
            f"{SASL}.mechanism": mechanism,
            f"{SASL}.user": user,
            f"{SASL}.password_file": str(self.password_file),
        }

    def by_certificate(self) -> Settings:
        certificate = self.folder / "tls" / "admin.pem"
        return {**self._encrypted("SSL"), f"{TLS}.certificate_file": str(certificate)}

    def _encrypted(self, listener: str) -> Settings:
        return {
            "bus.kind": "kafka",
            "bus.kafka.bootstrap_servers": self.listeners[listener],
            f"{TLS}.enabled": True,
            f"{TLS}.ca_file": str(self.ca_file),
        }

    def command(self, tool: str, *arguments: str) -> str:
        """Run one of Kafka's own tools with every right; what it printed."""
        jars = self.folder.with_name(KafkaNode.name) / "jars"
        java = ["java", "-Xmx128m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
        done = subprocess.run(
            [*java, "-Dlog4j2.level=ERROR", "-cp", f"{jars}/*", tool]
            + ["--bootstrap-server", self.open_address, *arguments],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "LANG": "C.UTF-8"},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout
