"""How every client of ours connects."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Collection
from typing import Any, Literal

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient
from aiokafka.cluster import ClusterMetadata
from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import KafkaConnectionError, KafkaError

from streambackup.bus.kafka.refusals import refusal
from streambackup.runtime.redaction import Secret

REQUEST_LIMIT_S = 10.0  # one request and its answer
CLOSE_LIMIT_S = 5.0  # TLS ends with a word of both sides, and asyncio waits for it for long
UPDATE_PAUSE_S = 0.2  # between two questions who leads what that nobody answers

Client = AIOKafkaAdminClient | AIOKafkaConsumer | AIOKafkaProducer
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """Who we are to the brokers, where a certificate does not tell it."""

    mechanism: Mechanism
    user: str
    password: Secret


class KafkaSettings(msgspec.Struct, frozen=True, kw_only=True):
    """As ``bus.kafka`` of the settings.

    ``bootstrap_servers``: brokers to ask first, ``host:port``, comma-separated. ``compression``
    of what we publish: zstd or none; aiokafka makes gzip and lz4 at level 9, ten times slower.
    ``publish_limit_ms``: how long a batch is tried; a partition whose leader died has a new one
    within the default. With ``tls`` connections are encrypted.
    """

    bootstrap_servers: str
    client_id: str = "streambackup"
    compression: Literal["none", "gzip", "lz4", "snappy", "zstd"] = "none"
    publish_limit_ms: int = 30_000
    tls: ssl.SSLContext | None = None
    login: Login | None = None
    session_timeout_ms: int = 10_000
    heartbeat_interval_ms: int = 3_000
    rebalance_timeout_ms: int = 30_000


async def close_connections(client: AIOKafkaClient) -> None:
    """Close what *client* has open; brokers that do not answer are not waited for.

    Where an earlier attempt was given up, aiokafka's own ``close`` ends cancelled by itself.
    """
    task = asyncio.current_task()
    assert task is not None
    try:
        async with asyncio.timeout(CLOSE_LIMIT_S):
            await client.close()
    except (TimeoutError, asyncio.CancelledError):
        if task.cancelling():
            raise


def connection(settings: KafkaSettings) -> dict[str, Any]:
    """The arguments that all of aiokafka's clients share."""
    return {
        "bootstrap_servers": settings.bootstrap_servers,
        "client_id": settings.client_id,
        "request_timeout_ms": int(REQUEST_LIMIT_S * 1000),
        **_security(settings),
    }


async def start_client(client: Client, settings: KafkaSettings) -> None:
    """Connect one of aiokafka's clients.

    Raises:
        AccessError: the brokers are there and do not let us in, or are not those we trust. Of that
            aiokafka tells its log alone.
    """
    _pace_updates(client.client if isinstance(client, AIOKafkaProducer) else client._client)
    try:
        await client.start()  # type: ignore[no-untyped-call]
    except KafkaConnectionError:
        await _expect_entry(settings)
        raise


def _pace_updates(client: AIOKafkaClient) -> None:
    """Have *client* pause where no broker told it who leads what.

    A producer with records for a partition without a leader would ask again at once, without end: a
    core's time, and thousands of log lines a second, for as long as the brokers are away.
    """
    update = client._metadata_update

    async def paced(cluster: ClusterMetadata, topics: Collection[str]) -> bool:
        updated: bool = await update(cluster, topics)  # type: ignore[no-untyped-call]
        if not updated:
            await asyncio.sleep(UPDATE_PAUSE_S)
        return updated

    client._metadata_update = paced  # type: ignore[method-assign]


async def _expect_entry(settings: KafkaSettings) -> None:
    for host, port, _ in collect_hosts(settings.bootstrap_servers):
        try:
            connected = await create_conn(
                host,
                port,
                client_id=settings.client_id,
                request_timeout_ms=int(REQUEST_LIMIT_S * 1000),
                **_security(settings),
            )
        except (KafkaError, OSError) as error:
            refused = refusal(error, host)
            if refused is not None:
                raise refused from error
        else:
            connected.close()


def _security(settings: KafkaSettings) -> dict[str, Any]:
    transport = "PLAINTEXT" if settings.tls is None else "SSL"
    if settings.login is None:
        return {"security_protocol": transport, "ssl_context": settings.tls}
    return {
        "security_protocol": f"SASL_{transport}",
        "ssl_context": settings.tls,
        "sasl_mechanism": settings.login.mechanism,
        "sasl_plain_username": settings.login.user,
        "sasl_plain_password": settings.login.password.reveal(),
    }
