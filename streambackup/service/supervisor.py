"""The service: opens a store and a bus, and runs the roles asked for until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from enum import StrEnum

import structlog

from streambackup.bus.port import Bus
from streambackup.errors import BusError, NoSpaceError
from streambackup.events.config import Generation
from streambackup.journal.life import write_life
from streambackup.outbox.outbox import Outbox
from streambackup.outbox.relay import relay
from streambackup.realtime.stream_worker import Handler, StreamWorker
from streambackup.runtime.clock import Clock
from streambackup.runtime.disk import Disk
from streambackup.runtime.memory import settle_for_batches
from streambackup.runtime.tasks import Part, stopped_by_signals, supervise, watch_loop
from streambackup.service.endpoints import Endpoints, parse_listen
from streambackup.service.filer import filing_processes
from streambackup.service.generations import (
    claim_primary,
    create_topics,
    life_of,
    open_generation,
)
from streambackup.service.settings import Settings
from streambackup.service.status import Status, collect_status, partition_statuses
from streambackup.service.store_home import StoreHome, open_store
from streambackup.service.store_lock import store_lock
from streambackup.service.told_warnings import tell_warnings
from streambackup.service.wiring import EMBEDDED_PARTITIONS, Workers, open_bus
from streambackup.sources.maildir.source import MaildirSource

log = structlog.get_logger()

LEVELS_EVERY_S = 5.0


class Role(StrEnum):
    SOURCE = "source"
    ACCOUNT = "account"
    BLOB = "blob"


ALL_ROLES = frozenset(Role)


async def run_service(settings: Settings, roles: Collection[Role], *, clock: Clock) -> None:
    """Run *roles* until SIGTERM or SIGINT; what is in hand is finished within ``shutdown.drain_s``.

    Raises:
        StoreBusyError: another service works on the store. StoreError, BusError, SourceError: what
        ended it.
        UnfinishedRunError: not all was finished in that time. InterruptedRunError: a second signal
            came before it was.
    """
    disk = Disk()
    home = await asyncio.to_thread(open_store, settings.store, disk=disk, clock=clock)
    stop = asyncio.Event()
    with store_lock(home.root):
        async with open_stream(settings, home, clock) as (bus, generation):
            await asyncio.to_thread(write_life, home.root, life_of(generation), disk)
            async with AsyncExitStack() as stack:
                workers = Workers(
                    settings=settings,
                    home=home,
                    bus=bus,
                    generation=generation,
                    disk=disk,
                    clock=clock,
                )
                parts = Service(workers).parts(roles, stack)
                settle_for_batches()
                async with stopped_by_signals(stop):
                    log.info("running", store=home.config.store, roles=sorted(roles))
                    await supervise(parts, stop=stop, drain_s=settings.shutdown.drain_s)


@contextlib.asynccontextmanager
async def open_stream(
    settings: Settings, home: StoreHome, clock: Clock
) -> AsyncIterator[tuple[Bus, Generation]]:
    """The bus and its open generation, checked to be this store's.

    The embedded bus makes its own topics.
    """
    bus = open_bus(settings, clock)
    try:
        if settings.bus.kind == "embedded":
            await create_topics(bus, EMBEDDED_PARTITIONS, clock)
        generation = await open_generation(bus)
        await claim_primary(bus, home.config.store)
        yield bus, generation
    finally:
        await bus.close()


class Service:
    """The parts of one process, sharing a bus, a store and metrics."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._running: dict[Role, StreamWorker] = {}
        self._source: MaildirSource | None = None
        self._outbox: Outbox | None = None

    def parts(self, roles: Collection[Role], stack: AsyncExitStack) -> Mapping[str, Part]:
        """What has to run for *roles*; what they need until the end is left on *stack*."""
        parts: dict[str, Part] = {
            "loop": self._watch_loop,
            "levels": self._watch_levels,
            "warnings": self._tell_warnings,
        }
        if Role.ACCOUNT in roles:
            account = self._workers.account_handler(stack.enter_context(filing_processes()))
            parts["account"] = self._add_worker(Role.ACCOUNT, account)
        if Role.BLOB in roles:
            threads = stack.enter_context(ThreadPoolExecutor(self._workers.settings.blobs.threads))
            blob = self._workers.blob_handler(threads)
            parts["blob"] = self._add_worker(Role.BLOB, blob)
        trees = self._workers.settings.sources.maildir
        if Role.SOURCE in roles and trees:
            source = self._source = self._workers.maildir_source(trees)
            parts["source"] = lambda stop: self._run_source(source, stop)
        http = self._workers.settings.http
        address = parse_listen(http.listen, allow_remote=http.allow_remote)
        if address is not None:
            endpoints = Endpoints(
                address, metrics=self._workers.metrics, ready=self._not_ready, status=self.status
            )
            parts["http"] = endpoints.run
        return parts

    def _add_worker(self, role: Role, handler: Handler) -> Part:
        worker = self._running[role] = self._workers.stream_worker(handler)
        return worker.run

    def _not_ready(self) -> list[str]:
        """Why the service does not work yet, for each role that does not."""
        return [
            f"the {role} worker has not joined its group"
            for role, worker in self._running.items()
            if not worker.joined
        ]

    async def _run_source(self, source: MaildirSource, stop: asyncio.Event) -> None:
        async with self._workers.outbox(source.name) as outbox:
            self._outbox = outbox
            observed = self._workers.metrics.observations.labels(source.name).inc
            try:
                await relay(source, outbox, stop, observed=observed)
            finally:
                self._outbox = None

    async def status(self) -> Status:
        """What ``/status`` and the command of that name show."""
        look = await collect_status(
            self._workers.settings,
            self._workers.home,
            self._workers.bus,
            self._workers.generation,
            source_warnings=self._source_warnings(),
        )
        return look.status

    def _source_warnings(self) -> list[str]:
        return self._source.warnings if self._source else []

    async def _tell_warnings(self, stop: asyncio.Event) -> None:
        """Keep the file that tells what the sources cannot read; a full disk is counted."""
        told: list[str] | None = None
        while not stop.is_set():
            if self._source is not None:
                away = self._workers.metrics.trees_away.labels(self._source.name)
                away.set(self._source.away)
            warnings = self._source_warnings()
            if warnings != told:
                try:
                    await asyncio.to_thread(
                        tell_warnings, self._workers.home, warnings, self._workers.disk
                    )
                    told = warnings
                except NoSpaceError as error:
                    self._workers.metrics.errors.labels(type(error).__name__).inc()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), LEVELS_EVERY_S)

    async def _watch_loop(self, stop: asyncio.Event) -> None:
        await watch_loop(stop, clock=self._workers.clock, report=self._workers.metrics.loop_lag.set)

    async def _watch_levels(self, stop: asyncio.Event) -> None:
        """Keep the gauges of lag, disk and outbox current; a bus that is away is counted."""
        while not stop.is_set():
            try:
                await self._measure_levels()
            except BusError as error:
                self._workers.metrics.errors.labels(type(error).__name__).inc()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), LEVELS_EVERY_S)

    async def _measure_levels(self) -> None:
        usage = await asyncio.to_thread(shutil.disk_usage, self._workers.home.root)
        self._workers.metrics.disk_free.set(usage.free)
        if self._source is not None and self._outbox is not None:
            waiting = await self._outbox.waiting()
            self._workers.metrics.outbox_queue.labels(self._source.name).set(waiting)
        for at in await partition_statuses(
            self._workers.home, self._workers.bus, self._workers.generation
        ):
            self._workers.metrics.lag.labels(at.topic, str(at.partition)).set(at.lag or 0)
