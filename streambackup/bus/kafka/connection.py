"""How every client of ours connects."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

REQUEST_LIMIT_S = 10.0  # one request and its answer


class KafkaSettings(msgspec.Struct, frozen=True, kw_only=True):
    """As ``bus.kafka`` of the settings.

    ``bootstrap_servers``: brokers to ask first, ``host:port``, comma-separated. ``compression``
    of what we publish: zstd or none; aiokafka makes gzip and lz4 at level 9, ten times slower.
    ``publish_limit_ms``: how long a batch is tried; a partition whose leader died has a new one
    within the default.
    """

    bootstrap_servers: str
    client_id: str = "streambackup"
    compression: Literal["none", "gzip", "lz4", "snappy", "zstd"] = "none"
    publish_limit_ms: int = 30_000
    session_timeout_ms: int = 10_000
    heartbeat_interval_ms: int = 3_000
    rebalance_timeout_ms: int = 30_000


def connection(settings: KafkaSettings) -> dict[str, Any]:
    """The arguments that all of aiokafka's clients share."""
    return {
        "bootstrap_servers": settings.bootstrap_servers,
        "client_id": settings.client_id,
        "request_timeout_ms": int(REQUEST_LIMIT_S * 1000),
    }
