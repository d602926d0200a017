"""Brokers whose certificates cannot be trusted, each in its own way: by a real TLS listener."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from parts.certificates import Authority
from streambackup.bus.kafka import KafkaBus, KafkaSettings
from streambackup.errors import AccessError, BusError
from streambackup.runtime.clock import SystemClock

pytestmark = pytest.mark.tool("openssl")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "tls")


@contextlib.asynccontextmanager
async def listener(certificate: Path) -> AsyncIterator[str]:
    """Shows *certificate* to whoever comes, and says nothing more."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0, ssl=context)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def asked(address: str, authority: Authority, *, check_host_name: bool = True) -> BusError:
    """What the bus raises where the brokers are at *address*."""
    context = ssl.create_default_context(cafile=authority.certificate)
    context.check_hostname = check_host_name
    bus = KafkaBus(KafkaSettings(bootstrap_servers=address, tls=context), clock=SystemClock())
    with pytest.raises(BusError) as caught:
        await bus.bounds(["mailbox.test"])
    await bus.close()
    return caught.value


async def test_an_expired_certificate(authority: Authority) -> None:
    async with listener(authority.issue("old", hosts="IP:127.0.0.1", days=-1)) as address:
        error = await asked(address, authority)

    assert isinstance(error, AccessError)
    assert error.message == "the certificate of broker 127.0.0.1 has expired"
    assert "Renew it" in str(error.hint)


async def test_a_certificate_for_another_name(authority: Authority) -> None:
    certificate = authority.issue("other", hosts="DNS:kafka.example.org")
    async with listener(certificate) as address:
        error = await asked(address, authority)
        unchecked = await asked(address, authority, check_host_name=False)

    assert isinstance(error, AccessError)
    assert "is for another name: IP address mismatch" in error.message
    assert "advertised.listeners" in str(error.hint)
    assert not isinstance(unchecked, AccessError)  # It came as far as the silence.


async def test_a_certificate_of_a_stranger(authority: Authority, tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "stranger", name="stranger")
    async with listener(stranger.issue("broker", hosts="IP:127.0.0.1")) as address:
        error = await asked(address, authority)

    assert isinstance(error, AccessError)
    assert "is of no authority that we trust" in error.message
    assert "ca_file" in str(error.hint)
