"""The service: opens a store and a bus, and runs the roles asked for until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from enum import StrEnum
from functools import partial

import msgspec
import structlog

from streambackup.bus.generations import GenerationList, consumable
from streambackup.bus.port import Bus
from streambackup.errors import BusError, NoSpaceError
from streambackup.events.config import Generation
from streambackup.events.topics import BLOBS, TRANSACTIONS
from streambackup.journal.owner import PartitionOwner
from streambackup.outbox.outbox import Outbox
from streambackup.outbox.relay import relay
from streambackup.realtime.account_worker import AccountWorker
from streambackup.realtime.blob_worker import BlobWorker
from streambackup.realtime.generation_workers import GenerationWorkers
from streambackup.realtime.notices import Notices
from streambackup.realtime.stream_worker import StreamWorker
from streambackup.runtime.clock import Clock
from streambackup.runtime.disk import Disk
from streambackup.runtime.loop_watch import LoopRecord, LoopWatch
from streambackup.runtime.memory import settle_for_batches
from streambackup.runtime.tasks import Part, stopped_by_signals, supervise
from streambackup.service.endpoints import Endpoints, parse_listen
from streambackup.service.filer import filing_processes
from streambackup.service.generations import replica_error
from streambackup.service.headroom import HeadroomAlarm, find_headroom
from streambackup.service.opening import open_embedded, open_stream
from streambackup.service.partition_status import behind_of, partition_statuses
from streambackup.service.settings import Settings
from streambackup.service.status import (
    BUS_PATIENCE_S,
    Status,
    collect_status,
)
from streambackup.service.store_home import open_store
from streambackup.service.store_lock import process_directory, sources_lock, store_lock
from streambackup.service.told_warnings import tell_warnings, told_warnings
from streambackup.service.unclean_end import CHECK_ADVISED, noticed_end
from streambackup.service.watchdog import Watchdog
from streambackup.service.wiring import Workers
from streambackup.sources.maildir.source import MaildirSource

log = structlog.get_logger()

LEVELS_EVERY_S = 5.0
HEADROOM_EVERY_S = 60.0
HEADROOM_PATIENCE_S = 30.0
"""It reads a little of every partition that is behind, of which there may be hundreds."""


class Role(StrEnum):
    SOURCE = "source"
    ACCOUNT = "account"
    BLOB = "blob"


ALL_ROLES = frozenset(Role)


async def run_service(settings: Settings, roles: Collection[Role], *, clock: Clock) -> None:
    """Run *roles* until SIGTERM or SIGINT; what is in hand is finished within ``shutdown.drain_s``.

    Raises:
        StoreBusyError: another service works on the store, or watches this node's sources.
        StoreError, BusError, SourceError: what ended it.
        UnfinishedRunError: not all was finished in that time. InterruptedRunError: a second signal
            came before it was.
    """
    disk = Disk()
    home = await asyncio.to_thread(open_store, settings.store, disk=disk, clock=clock)
    stop = asyncio.Event()
    # Kafka shares a store's partitions among its services, the embedded bus has one consumer.
    with (
        store_lock(home.root, shared=settings.bus.kind == "kafka"),
        process_directory(home.state, disk) as caches,
        noticed_end(caches, disk) as was_cut_off,
    ):
        if was_cut_off:
            log.warning("check_advised", reason=CHECK_ADVISED)
        async with (
            open_stream(settings, home, clock) as (bus, _, primary),
            open_embedded(settings, home.state, bus, clock) as embedded,
            AsyncExitStack() as stack,
        ):
            workers = Workers(
                settings=settings,
                home=home,
                caches=caches,
                bus=bus,
                listed=GenerationList(bus),
                embedded=embedded,
                primary=primary,
                disk=disk,
                clock=clock,
            )
            advice = [CHECK_ADVISED] if was_cut_off else []
            parts = Service(workers, advice).parts(roles, stack)
            settle_for_batches()
            async with stopped_by_signals(stop):
                store = home.config.store
                log.info("running", store=store, primary=primary, roles=sorted(roles))
                await supervise(parts, stop=stop, drain_s=settings.shutdown.drain_s)


class Service:
    """The parts of one process, sharing a bus, a store and metrics."""

    def __init__(self, workers: Workers, advice: Sequence[str] = ()) -> None:
        self._workers = workers
        self._advice = advice
        self._running: dict[Role, GenerationWorkers[StreamWorker]] = {}
        self._loop_record = LoopRecord(workers.metrics)
        self._loop_watch = LoopWatch(
            self._loop_record,
            clock=workers.clock,
            limit_s=workers.settings.worker.stuck_limit_s,
        )
        self._handlers = set[AccountWorker | BlobWorker]()
        self._source: MaildirSource | None = None
        self._outbox: Outbox | None = None
        self._notices: Notices | None = None

    def parts(self, roles: Collection[Role], stack: AsyncExitStack) -> Mapping[str, Part]:
        """What has to run for *roles*; what they need until the end is left on *stack*."""
        parts: dict[str, Part] = {
            "loop": self._loop_watch.run,
            "levels": self._watch_levels,
            "headroom": self._watch_headroom,
        }
        if Role.ACCOUNT in roles:
            account = self._workers.account_handler(stack.enter_context(filing_processes()))
            parts["account"] = self._add_workers(Role.ACCOUNT, TRANSACTIONS, lambda _: account)
        if Role.BLOB in roles:
            threads = stack.enter_context(ThreadPoolExecutor(self._workers.settings.blobs.threads))
            blob_on = partial(self._workers.blob_handler, threads)
            parts["blob"] = self._add_workers(Role.BLOB, BLOBS, blob_on)
        if self._running:
            parts["watchdog"] = self._watchdog().run
        if self._running and not self._workers.is_replica:
            self._notices = self._workers.notices(self._owners)
            parts["notices"] = self._notices.run
        trees = self._workers.settings.sources.maildir
        if Role.SOURCE in roles and trees:
            if self._workers.is_replica:
                raise replica_error(self._workers.home.config.store, self._workers.primary)
            stack.enter_context(sources_lock(self._workers.home.state))
            source = self._source = self._workers.maildir_source(trees)
            parts["source"] = lambda stop: self._run_source(source, stop)
            parts["warnings"] = lambda stop: self._tell_warnings(source, stop)
        http = self._workers.settings.http
        address = parse_listen(http.listen, allow_remote=http.allow_remote)
        if address is not None:
            endpoints = Endpoints(
                address, metrics=self._workers.metrics, ready=self._not_ready, status=self.status
            )
            parts["http"] = endpoints.run
        return parts

    def _add_workers(
        self, role: Role, topic: str, handler_on: Callable[[Bus], AccountWorker | BlobWorker]
    ) -> Part:
        def noted(bus: Bus) -> AccountWorker | BlobWorker:
            handler = handler_on(bus)
            self._handlers.add(handler)
            return handler

        workers = self._running[role] = self._workers.generation_workers(topic, noted)
        return workers.run

    def _watchdog(self) -> Watchdog:
        workers = self._workers
        return Watchdog(
            self._at_work,
            clock=workers.clock,
            limit_s=workers.settings.worker.stuck_limit_s,
            metrics=workers.metrics,
        )

    def _at_work(self) -> dict[StreamWorker, Bus]:
        """The workers of all generations, with the buses that they consume."""
        running = self._running.values()
        return {worker: bus for workers in running for worker, bus in workers.running.items()}

    def _owners(self) -> list[PartitionOwner]:
        """Of all partitions that this process has in hand."""
        return [owner for handler in list(self._handlers) for owner in handler.owners()]

    def _not_ready(self) -> list[str]:
        """Why the service does not work yet, for each role that does not."""
        return [
            f"the {role} worker has not joined its group"
            for role, workers in self._running.items()
            if not workers.running or not all(one.member.joined for one in workers.running)
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
            self._workers.listed,
            clock=self._workers.clock,
            own_warnings=[*await self._source_warnings(), *self._own_warnings()],
        )
        seen = self._loop_record.seen
        return msgspec.structs.replace(
            look.status,
            event_loop_lag_ms=round(seen.longest_s * 1000, 1),
            event_loop_late_steps=seen.late_steps,
            warnings=[*look.status.warnings, *self._slow_disk()],
        )

    def _slow_disk(self) -> list[str]:
        return [
            f"{tp.topic}/{tp.partition} waits for the disk: it is read on when what was read of it "
            "is durable"
            for worker in self._at_work()
            for tp in worker.slow
        ]

    def _own_warnings(self) -> list[str]:
        """What only this process knows of itself."""
        told = [*self._advice]
        told += [
            f"partition {tp.partition} of {tp.topic} is stopped: {why}"
            for worker in self._at_work()
            for tp, why in sorted(worker.stopped().items())
        ]
        if self._notices is not None and self._notices.failure is not None:
            told.append(f"notices of what was set aside wait: {self._notices.failure}")
        return told

    async def _source_warnings(self) -> list[str]:
        """What cannot be read of this node's sources, whichever process watches them."""
        if self._source is not None:
            return self._source.warnings
        return await asyncio.to_thread(told_warnings, self._workers.home)

    async def _tell_warnings(self, source: MaildirSource, stop: asyncio.Event) -> None:
        """Keep the file that tells what *source* cannot read; a full disk is counted."""
        told: list[str] | None = None
        while not stop.is_set():
            self._workers.metrics.trees_away.labels(source.name).set(source.away)
            warnings = source.warnings
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

    async def _watch_levels(self, stop: asyncio.Event) -> None:
        """Keep the gauges of disk, outbox and lag current."""
        while not stop.is_set():
            await self._measure_here()
            async with self._asking_bus():
                await self._measure_lag()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), LEVELS_EVERY_S)

    async def _watch_headroom(self, stop: asyncio.Event) -> None:
        """Keep an alarm for what the bus may drop too early."""
        workers = self._workers
        alarm = HeadroomAlarm(workers.settings.bus.headroom_warning_hours, workers.metrics)
        while not stop.is_set():
            async with self._asking_bus(HEADROOM_PATIENCE_S):
                generations = await self._generations()
                found = await partition_statuses(workers.home, workers.bus, generations)
                behind, now_ms = behind_of(found), workers.clock.now_ms()
                hours = await find_headroom(workers.bus, generations, behind, now_ms=now_ms)
                alarm.tell([at.tp for at in found], hours)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), HEADROOM_EVERY_S)

    @contextlib.asynccontextmanager
    async def _asking_bus(self, patience_s: float = BUS_PATIENCE_S) -> AsyncIterator[None]:
        """Ask for as long as an answer may take; a bus that is away is counted, and asked later."""
        try:
            async with asyncio.timeout(patience_s):
                yield
        except (BusError, TimeoutError) as error:
            kind = type(error) if isinstance(error, BusError) else BusError
            self._workers.metrics.errors.labels(kind.__name__).inc()

    async def _measure_here(self) -> None:
        for worker in self._at_work():
            self._workers.metrics.stopped.labels(worker.topic).set(len(worker.stopped()))
        usage = await asyncio.to_thread(shutil.disk_usage, self._workers.home.root)
        self._workers.metrics.disk_free.set(usage.free)
        if self._source is not None and self._outbox is not None:
            waiting = await self._outbox.waiting()
            self._workers.metrics.outbox_queue.labels(self._source.name).set(waiting)

    async def _measure_lag(self) -> None:
        workers, generations = self._workers, await self._generations()
        for at in await partition_statuses(workers.home, workers.bus, generations):
            self._workers.metrics.lag.labels(at.topic, str(at.partition)).set(at.lag or 0)

    async def _generations(self) -> list[Generation]:
        return await consumable(self._workers.bus, await self._workers.listed.read())
