"""Certificates and passwords for the brokers: each fault is one line, and no line has a secret."""

from __future__ import annotations

import pickle
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from parts.certificates import Authority, encrypt_key
from streambackup.errors import UsageError
from streambackup.runtime.redaction import Secret
from streambackup.service.kafka_access import kafka_settings
from streambackup.service.settings_loading import environment_name, load_settings
from tests.support.backup import Backup

pytestmark = pytest.mark.tool("openssl")

SECRET = "correct horse"
SASL = {"bus.kafka.sasl.mechanism": "SCRAM-SHA-512", "bus.kafka.sasl.user": "backup"}
TLS = {"bus.kafka.tls.enabled": "true"}


def access(settings: dict[str, str], environment: dict[str, str] | None = None) -> Any:
    flags = [f"{key}={value}" for key, value in settings.items()]
    return kafka_settings(
        load_settings(config=None, environment=environment or {}, flags=flags).bus.kafka
    )


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    authority = Authority(tmp_path_factory.mktemp("tls"))
    authority.issue("ours")
    return authority


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    def made(text: str, mode: int = 0o600) -> Path:
        path = tmp_path / f"file-{mode:o}-{len(text)}"
        path.write_text(text)
        path.chmod(mode)
        return path

    return made


def test_without_a_word_nothing_is_encrypted_and_nobody_named() -> None:
    assert (access({}).tls, access({}).login) == (None, None)


def test_encrypted_connections_verify_the_broker_and_its_name(authority: Authority) -> None:
    ours = access({**TLS, "bus.kafka.tls.ca_file": str(authority.certificate)}).tls

    assert ours.verify_mode is ssl.CERT_REQUIRED
    assert ours.check_hostname
    assert ours.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert len(ours.get_ca_certs()) == 1
    assert not access({**TLS, "bus.kafka.tls.check_host_name": "false"}).tls.check_hostname


def test_a_password_comes_from_a_file_or_from_the_environment(file: Callable[..., Path]) -> None:
    from_file = access({**SASL, "bus.kafka.sasl.password_file": str(file(f"{SECRET}\n"))})
    variable = environment_name("bus.kafka.sasl.password")
    from_environment = access(SASL, {variable: SECRET})

    assert from_file.login == from_environment.login
    assert from_file.login.password.reveal() == SECRET


def test_a_secret_does_not_show_itself(file: Callable[..., Path]) -> None:
    settings = access({**SASL, "bus.kafka.sasl.password_file": str(file(SECRET))})

    assert SECRET not in f"{settings!r} {settings} {settings.login.password!s}"
    with pytest.raises(TypeError):
        pickle.dumps(settings.login.password)


def test_a_secret_on_a_command_line_or_among_settings_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "streambackup.toml"
    config.write_text(f'[bus.kafka.sasl]\npassword = "{SECRET}"\n')

    flag = f"bus.kafka.sasl.password={SECRET}"
    for file, flags in ((None, [flag]), (config, [])):
        with pytest.raises(UsageError, match="is a secret") as caught:
            load_settings(config=file, environment={}, flags=flags)
        assert SECRET not in caught.value.message
        assert "password_file" in str(caught.value.hint)


@pytest.mark.parametrize("mode", [0o604, 0o620, 0o606])
def test_a_secret_file_that_others_may_use_is_refused(
    mode: int, file: Callable[..., Path], authority: Authority
) -> None:
    open_file = file(SECRET, mode)
    certificate = {**TLS, "bus.kafka.tls.certificate_file": str(authority.folder / "ours.crt")}

    for settings in (
        {**SASL, "bus.kafka.sasl.password_file": str(open_file)},
        {**certificate, "bus.kafka.tls.key_file": str(open_file)},
    ):
        with pytest.raises(UsageError, match=f"open to other users \\(mode {mode:04o}\\)") as found:
            access(settings)
        assert found.value.hint == f"chmod 600 {open_file}"


def test_a_secret_file_of_the_services_group_is_taken(file: Callable[..., Path]) -> None:
    found = access({**SASL, "bus.kafka.sasl.password_file": str(file(SECRET, 0o640))})

    assert found.login.password == Secret(SECRET)


@pytest.mark.parametrize("text", ["", "\n", "two\nlines", "a\0b"])
def test_a_password_is_one_line(text: str, file: Callable[..., Path]) -> None:
    with pytest.raises(UsageError, match="does not hold one line"):
        access({**SASL, "bus.kafka.sasl.password_file": str(file(text))})


def test_a_key_with_a_password_is_opened_with_it(
    authority: Authority, file: Callable[..., Path], tmp_path: Path
) -> None:
    password = file(SECRET)
    encrypt_key(authority.folder / "ours.key", tmp_path / "locked.key", password_file=password)
    settings = {
        **TLS,
        "bus.kafka.tls.certificate_file": str(authority.folder / "ours.crt"),
        "bus.kafka.tls.key_file": str(tmp_path / "locked.key"),
    }

    assert access({**settings, "bus.kafka.tls.key_password_file": str(password)}).tls
    with pytest.raises(UsageError, match=r"has a password$"):
        access(settings)
    with pytest.raises(UsageError, match="has a password, and it is not the one given") as caught:
        access(settings, {environment_name("bus.kafka.tls.key_password"): "wrong horse"})
    assert "horse" not in caught.value.message


def test_a_certificate_and_a_foreign_key_are_refused(
    authority: Authority, file: Callable[..., Path]
) -> None:
    mine, other = authority.folder / "ours.crt", authority.folder / "ca.key"
    settings = {**TLS, "bus.kafka.tls.certificate_file": str(mine)}

    with pytest.raises(UsageError, match=r"are no certificate and its key: key values mismatch"):
        access({**settings, "bus.kafka.tls.key_file": str(other)})
    with pytest.raises(UsageError, match="are no certificate and its key"):
        access({**TLS, "bus.kafka.tls.certificate_file": str(file("nothing"))})
    with pytest.raises(UsageError, match=r"ca_file: .* holds no certificate"):
        access({**TLS, "bus.kafka.tls.ca_file": str(file("nothing"))})


@pytest.mark.parametrize(
    "key",
    ["sasl.password_file", "tls.ca_file", "tls.certificate_file", "tls.key_file"],
)
def test_a_missing_file_is_named_with_its_setting(key: str, authority: Authority) -> None:
    certificate = {**TLS, "bus.kafka.tls.certificate_file": str(authority.folder / "ours.crt")}
    settings = SASL if key.startswith("sasl") else certificate

    with pytest.raises(UsageError, match=f"bus.kafka.{key}: /nowhere: No such file"):
        access({**settings, f"bus.kafka.{key}": "/nowhere"})


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"bus.kafka.sasl.user": "backup"}, "no mechanism"),
        ({**SASL, "bus.kafka.sasl.mechanism": "PLAIN"}, "would travel as it is"),
        ({"bus.kafka.sasl.mechanism": "SCRAM-SHA-256"}, "user is not set"),
        (SASL, "no password for bus.kafka.sasl.user backup"),
        ({"bus.kafka.tls.ca_file": "/ca.pem"}, "nothing would be encrypted"),
        ({**TLS, "bus.kafka.tls.key_file": "/key.pem"}, "certificate_file is not"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    settings: dict[str, str], says: str
) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        access(settings)
    assert caught.value.hint


def test_one_password_is_enough(file: Callable[..., Path]) -> None:
    settings = {**SASL, "bus.kafka.sasl.password_file": str(file(SECRET))}

    with pytest.raises(UsageError, match="are both set"):
        access(settings, {environment_name("bus.kafka.sasl.password"): SECRET})


def test_a_command_tells_it_in_two_lines(tmp_path: Path, file: Callable[..., Path]) -> None:
    """The fault and its cure, and the exit code of settings that cannot be used."""
    password = file(SECRET, 0o644)
    settings = {**SASL, "bus.kind": "kafka", "bus.kafka.sasl.password_file": str(password)}

    answer = Backup(tmp_path, settings=settings).ask("topic", "describe", code=2)

    what = f"{password} is open to other users (mode 0644)"
    assert answer.errors.splitlines() == [
        f"streambackup: bus.kafka.sasl.password_file: {what}",
        f"  chmod 600 {password}",
    ]


def test_other_settings_are_passed_on() -> None:
    found = access({"bus.kafka.client_id": "backup-7", "bus.kafka.compression": "none"})

    assert (found.client_id, found.compression) == ("backup-7", "none")
