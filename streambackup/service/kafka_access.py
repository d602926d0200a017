"""Certificates and passwords for the brokers, read from where the settings say.

They are read once, when a command or the service opens the bus. Whatever is wrong with them is told
in one line before anybody is connected to.
"""

from __future__ import annotations

import ssl
import stat
from pathlib import Path

from streambackup.bus.kafka.connection import KafkaSettings, Login
from streambackup.errors import UsageError
from streambackup.runtime.redaction import Secret
from streambackup.service import settings

FILE_BYTES_MAX = 4 * 1024 * 1024  # a machine trusts a hundred authorities
_FOREIGN_ACCESS = stat.S_IRWXO | stat.S_IWGRP
"""A group of the service's own may read its secrets, as with files of root's; nobody else may."""


def kafka_settings(kafka: settings.KafkaSettings) -> KafkaSettings:
    """How to connect as the settings say.

    Raises:
        UsageError: settings contradict each other, or a file is missing, unfit or not private.
    """
    same = set(kafka.__struct_fields__) & set(KafkaSettings.__struct_fields__) - {"tls"}
    return KafkaSettings(
        **{name: getattr(kafka, name) for name in same},
        tls=_tls(kafka.tls),
        login=_login(kafka.sasl, encrypted=kafka.tls.enabled),
    )


def _login(sasl: settings.KafkaSaslSettings, *, encrypted: bool) -> Login | None:
    if sasl.mechanism == "none":
        if sasl != settings.KafkaSaslSettings():
            raise UsageError(
                "bus.kafka.sasl has a user or a password, and no mechanism",
                hint="Set bus.kafka.sasl.mechanism to one that the brokers take.",
            )
        return None
    if sasl.mechanism == "PLAIN" and not encrypted:
        raise UsageError(
            "bus.kafka.sasl.mechanism is PLAIN: the password would travel as it is",
            hint="Set bus.kafka.tls.enabled, or take SCRAM-SHA-512.",
        )
    if not sasl.user:
        raise UsageError(
            f"bus.kafka.sasl.mechanism is {sasl.mechanism}, and bus.kafka.sasl.user is not set",
            hint="Name the user that the brokers know.",
        )
    password = _secret("bus.kafka.sasl.password", sasl.password, sasl.password_file)
    if password is None:
        raise UsageError(
            f"no password for bus.kafka.sasl.user {sasl.user}",
            hint="Set bus.kafka.sasl.password_file.",
        )
    return Login(mechanism=sasl.mechanism, user=sasl.user, password=password)


def _tls(tls: settings.KafkaTlsSettings) -> ssl.SSLContext | None:
    if not tls.enabled:
        if tls != settings.KafkaTlsSettings():
            raise UsageError(
                "bus.kafka.tls is set up, and not enabled: nothing would be encrypted",
                hint="Set bus.kafka.tls.enabled to true.",
            )
        return None
    context = _trusting(tls.ca_file)
    # Python's default, but for builds that leave it to the distribution's OpenSSL, as Debian's do.
    context.minimum_version = max(context.minimum_version, ssl.TLSVersion.TLSv1_2)
    context.check_hostname = tls.check_host_name
    if tls.certificate_file is not None:
        password = _secret("bus.kafka.tls.key_password", tls.key_password, tls.key_password_file)
        _present(context, tls.certificate_file, tls.key_file or tls.certificate_file, password)
    elif tls.key_file is not None:
        raise UsageError(
            "bus.kafka.tls.key_file is set, and bus.kafka.tls.certificate_file is not",
            hint="Name the certificate that the key is for.",
        )
    return context


def _trusting(ca_file: Path | None) -> ssl.SSLContext:
    if ca_file is None:
        return ssl.create_default_context()
    key = "bus.kafka.tls.ca_file"
    text = _read(key, ca_file)
    try:
        return ssl.create_default_context(cadata=text)
    except (ssl.SSLError, ValueError) as error:
        raise UsageError(f"{key}: {ca_file} holds no certificate", hint="It is PEM.") from error


def _present(
    context: ssl.SSLContext, certificate: Path, key: Path, password: Secret | None
) -> None:
    """Have *certificate* shown to brokers who ask for one."""
    _read("bus.kafka.tls.certificate_file", certificate)
    _expect_private("bus.kafka.tls.key_file", key)
    _read("bus.kafka.tls.key_file", key)
    asked = False

    def tell() -> str:
        nonlocal asked
        asked = True
        return "" if password is None else password.reveal()

    try:
        context.load_cert_chain(certificate, key, tell)
    except (ssl.SSLError, ValueError) as error:
        if asked:
            raise UsageError(
                f"the key in {key} has a password, and it is not the one given"
                if password
                else f"the key in {key} has a password",
                hint="Set bus.kafka.tls.key_password_file.",
            ) from error
        raise UsageError(
            f"{certificate} and {key} are no certificate and its key: {_reason(error)}",
            hint="Both are PEM; see bus.kafka.tls.certificate_file and key_file.",
        ) from error


def _reason(error: Exception) -> str:
    reason = error.reason if isinstance(error, ssl.SSLError) else None
    return (reason or "not PEM").replace("_", " ").lower()


def _secret(key: str, given: Secret | None, file: Path | None) -> Secret | None:
    if file is None:
        return given
    if given is not None:
        raise UsageError(f"{key} and {key}_file are both set", hint="One of them is enough.")
    _expect_private(f"{key}_file", file)
    text = _read(f"{key}_file", file).rstrip("\r\n")
    if not text or "\n" in text or "\0" in text:
        raise UsageError(
            f"{key}_file: {file} does not hold one line with a password",
            hint="Write the password into it, and nothing else.",
        )
    return Secret(text)


def _expect_private(key: str, file: Path) -> None:
    try:
        mode = file.stat().st_mode
    except OSError as error:
        raise _unreadable(key, file, error) from error
    if mode & _FOREIGN_ACCESS:
        raise UsageError(
            f"{key}: {file} is open to other users (mode {stat.S_IMODE(mode):04o})",
            hint=f"chmod 600 {file}",
        )


def _read(key: str, file: Path) -> str:
    try:
        with file.open(encoding="utf-8", newline="") as opened:
            return opened.read(FILE_BYTES_MAX)
    except OSError as error:
        raise _unreadable(key, file, error) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{key}: {file} is not text", hint="It is UTF-8, or PEM.") from error


def _unreadable(key: str, file: Path, error: OSError) -> UsageError:
    return UsageError(f"{key}: {file}: {error.strerror}", hint="The service's user must read it.")
