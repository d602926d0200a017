"""Health, metrics and status over HTTP, asked for by a real client on loopback."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import aiohttp
import msgspec
import pytest

from streambackup.errors import BusError, UsageError
from streambackup.runtime.metrics import Metrics
from streambackup.service.endpoints import Address, Endpoints, parse_listen

ANY_PORT = Address("127.0.0.1", 0)


class Answer(msgspec.Struct):
    lag: int


class Served:
    """Endpoints of a process that is not ready until ``reasons`` is emptied."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.reasons = ["the account worker reads what it had written"]
        self.failure: BusError | None = None
        self.endpoints = Endpoints(
            ANY_PORT, metrics=self.metrics, ready=lambda: self.reasons, status=self.status
        )

    async def status(self) -> Answer:
        if self.failure is not None:
            raise self.failure
        return Answer(lag=7)

    async def get(self, path: str) -> tuple[int, str]:
        host, port = await self.endpoints.listening
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://{host}:{port}{path}") as response,
        ):
            return response.status, await response.text()


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    service, stop = Served(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(service.endpoints.run(stop))
        yield service
        stop.set()


async def test_metrics_are_in_prometheus_text(served: Served) -> None:
    served.metrics.entries.inc(5)
    status, text = await served.get("/metrics")
    assert status == 200
    assert "streambackup_entries_total 5.0" in text


async def test_live_is_not_ready(served: Served) -> None:
    assert await served.get("/healthz") == (200, "ok\n")
    assert await served.get("/readyz") == (503, served.reasons[0] + "\n")
    served.reasons.clear()
    assert await served.get("/readyz") == (200, "ok\n")


async def test_status_is_json(served: Served) -> None:
    status, text = await served.get("/status")
    assert (status, msgspec.json.decode(text)) == (200, {"lag": 7})


async def test_a_port_in_use_is_named_with_its_cure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        service = Served()
        endpoints = Endpoints(
            Address("127.0.0.1", port),
            metrics=service.metrics,
            ready=lambda: [],
            status=service.status,
        )
        with pytest.raises(UsageError, match=str(port)) as caught:
            await endpoints.run(asyncio.Event())
    assert caught.value.hint is not None
    assert "http.listen" in caught.value.hint


@pytest.mark.parametrize(
    ("listen", "address"),
    [
        ("127.0.0.1:9464", Address("127.0.0.1", 9464)),
        ("localhost:1", Address("localhost", 1)),
        ("[::1]:9464", Address("::1", 9464)),
        ("0", None),
    ],
)
def test_where_it_may_listen(listen: str, address: Address | None) -> None:
    assert parse_listen(listen, allow_remote=False) == address


@pytest.mark.parametrize("listen", ["0.0.0.0:9464", "[::]:9464", "192.0.2.1:9464"])
def test_other_machines_are_let_in_only_when_told_to(listen: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_listen(listen, allow_remote=False)
    assert caught.value.hint is not None
    assert "http.allow_remote" in caught.value.hint
    assert parse_listen(listen, allow_remote=True) is not None


@pytest.mark.parametrize("listen", ["here:1", "127.0.0.1:99999", "127.0.0.1:²"])
def test_what_is_no_address_is_refused(listen: str) -> None:
    with pytest.raises(UsageError, match=r"http\.listen"):
        parse_listen(listen, allow_remote=True)


async def test_a_status_that_cannot_be_told_is_one_line_why(served: Served) -> None:
    served.failure = BusError("the brokers cannot be reached")
    assert await served.get("/status") == (503, "the brokers cannot be reached\n")
