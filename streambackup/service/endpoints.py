"""Health, metrics and status over HTTP, for the machine's own monitoring.

GET /metrics    Prometheus' text format
GET /healthz    200 while the process serves
GET /readyz     200 once its roles work, else 503 with the reasons
GET /status     what ``streambackup status --json`` prints
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import msgspec
import structlog
from aiohttp import web

from streambackup.errors import StreamBackupError, UsageError
from streambackup.runtime.metrics import Metrics

log = structlog.get_logger()

OFF = "0"
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Address(NamedTuple):
    host: str
    port: int


def parse_listen(listen: str, *, allow_remote: bool) -> Address | None:
    """Where ``http.listen`` says to listen; None where it is switched off.

    Raises:
        UsageError: no address, or one that other machines reach without ``http.allow_remote``.
    """
    if listen == OFF:
        return None
    host, _, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError as error:
        raise UsageError(
            f"http.listen: {host!r} is not an address", hint="Write it like 127.0.0.1:9464."
        ) from error
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise UsageError(f"http.listen: {port!r} is not a port", hint="Ports end at 65535.")
    if not loopback and not allow_remote:
        raise UsageError(
            f"http.listen: other machines reach {host}, and nothing there asks who they are",
            hint="Listen on 127.0.0.1, or set http.allow_remote = true behind a firewall.",
        )
    return Address(host, int(port))


class Endpoints:
    """Serves one process's health. ``ready`` gives the reasons why it is not ready yet."""

    def __init__(
        self,
        address: Address,
        *,
        metrics: Metrics,
        ready: Callable[[], Sequence[str]],
        status: Callable[[], Awaitable[msgspec.Struct]],
    ) -> None:
        self._address = address
        self._metrics = metrics
        self._ready = ready
        self._status = status
        self.listening: asyncio.Future[Address] = asyncio.get_running_loop().create_future()
        """Where it listens, once it does; the port is the one chosen where 0 was asked for."""

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until *stop*.

        Raises:
            UsageError: the address cannot be listened on.
        """
        application = web.Application()
        application.add_routes(
            [
                web.get("/metrics", self._get_metrics),
                web.get("/healthz", self._get_healthz),
                web.get("/readyz", self._get_readyz),
                web.get("/status", self._get_status),
            ]
        )
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await self._listen(runner)
            await stop.wait()
        finally:
            await runner.cleanup()

    async def _listen(self, runner: web.AppRunner) -> None:
        host, port = self._address
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise UsageError(
                f"http.listen: {host}:{port}: {error.strerror}",
                hint="Set http.listen to a free port, or to 0 to switch it off.",
            ) from error
        found = Address(*runner.addresses[0][:2])
        log.info("listening", host=found.host, port=found.port)
        self.listening.set_result(found)

    async def _get_metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._metrics.exposition(), headers={"Content-Type": METRICS_TYPE})

    async def _get_healthz(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _get_readyz(self, _request: web.Request) -> web.Response:
        reasons = self._ready()
        if reasons:
            return web.Response(status=503, text="".join(f"{reason}\n" for reason in reasons))
        return web.Response(text="ok\n")

    async def _get_status(self, _request: web.Request) -> web.Response:
        try:
            status = await self._status()
        except StreamBackupError as error:
            return web.Response(status=503, text=f"{error.message}\n")
        body = msgspec.json.encode(status, enc_hook=str)
        return web.Response(body=body + b"\n", content_type="application/json")
