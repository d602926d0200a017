"""The Kafka node with encrypted listeners, users of their own and rights."""

from __future__ import annotations

import secrets
from pathlib import Path

from parts.certificates import Authority
from parts.kafka_node import FILES, KafkaNode

ADMIN = "admin"  # may do everything, as may whoever comes without encryption
ROLES = ("source", "account", "blob", "reader", "operator")
USERS = (ADMIN, *(f"streambackup-{role}" for role in ROLES))
SCRAM = ("SCRAM-SHA-256", "SCRAM-SHA-512")


class SecureKafkaNode(KafkaNode):
    """Its listeners SASL_SSL (every mechanism of ours) and SSL (a client certificate is needed).

    Who connects needs ``tls/ca.pem``, and ``password``, which is every user's, or ``tls/admin.pem``
    (``CN=admin``), or another certificate of that authority.
    """

    name = "kafka-secure"
    port_variable = "STREAMBACKUP_KAFKA_SECURE_PORT"
    listeners = ("SASL_SSL", "SSL")

    def _prepare(self) -> None:
        authority = Authority(self._tls())
        authority.issue("broker", hosts="IP:127.0.0.1,DNS:localhost")
        authority.issue(ADMIN)
        password = self._password_file()
        if not password.exists():
            password.touch(mode=0o600)
            password.write_text(f"{secrets.token_hex(16)}\n")

    def _template(self) -> str:
        return super()._template() + (FILES / "secure.properties").read_text()

    def _values(self) -> dict[str, object]:
        password = self._password_file().read_text().strip()
        users = " ".join(f'user_{user}="{password}"' for user in USERS)
        return {"tls": self._tls(), "plain_users": users}

    def _format_options(self) -> list[str]:
        password = self._password_file().read_text().strip()
        added = (f"{mechanism}=[name={ADMIN},password={password}]" for mechanism in SCRAM)
        return [word for user in added for word in ("--add-scram", user)]

    def _tls(self) -> Path:
        return self._folder / "tls"

    def _password_file(self) -> Path:
        return self._folder / "password"
