"""Asking a service that runs here how it is: its own answer, or none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from streambackup.runtime.metrics import Metrics
from streambackup.service.ask_service import ask_service
from streambackup.service.endpoints import Address, Endpoints
from streambackup.service.partition_status import PartitionStatus
from streambackup.service.status import GenerationStatus, Status

POSITION = PartitionStatus(
    topic="mailbox.transactions", partition=0, position=7, end=None, lag=None
)
BUS_AWAY = Status(
    replica_of=None,
    store="s1",
    path="/backup",
    running=True,
    bus="kafka",
    generation="g",
    generations=[GenerationStatus(number=1, generation="g", partitions=1, state="not known")],
    partitions=[POSITION],
    headroom_hours=None,
    lag=None,
    last_transaction=None,
    accounts=0,
    blobs=0,
    blob_bytes=0,
    blob_stored_bytes=0,
    gaps=0,
    quarantined=0,
    notices_waiting=0,
    held_uploads=[],
    disk_free_bytes=1,
    disk_total_bytes=2,
    warnings=["the bus cannot be asked"],
)


@pytest.fixture
async def address() -> AsyncIterator[Address]:
    async def status() -> Status:
        return BUS_AWAY

    endpoints = Endpoints(
        Address("127.0.0.1", 0), metrics=Metrics(), ready=lambda: [], status=status
    )
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(endpoints.run(stop))
        yield await endpoints.listening
        stop.set()


async def test_what_is_not_known_without_the_bus_is_told_as_that(address: Address) -> None:
    assert await ask_service(address, "s1") == BUS_AWAY


async def test_the_service_of_another_store_is_no_answer(address: Address) -> None:
    assert await ask_service(address, "s2") is None


async def test_bytes_that_are_no_text_are_no_answer() -> None:
    async def garbage(_request: web.Request) -> web.Response:
        return web.Response(body=b'{"store":"\xff"}')

    application = web.Application()
    application.add_routes([web.get("/status", garbage)])
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        assert await ask_service(Address(host, port), "s1") is None
    finally:
        await runner.cleanup()


async def test_nobody_is_no_answer(address: Address) -> None:
    assert await ask_service(Address("127.0.0.1", 1), "s1") is None
