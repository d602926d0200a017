"""A simulated process: the production workers of one process, which can be stopped and killed."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from streambackup.events.config import Generation
from streambackup.events.topics import BLOBS, TRANSACTIONS
from streambackup.journal.life import life_of
from streambackup.journal.owner import StoreIdentity
from streambackup.journal.segment import EpochName
from streambackup.realtime.account_worker import AccountWorker, SegmentSettings
from streambackup.realtime.blob_worker import BlobWorker, BlobWorkerSettings
from streambackup.realtime.filing import Filed, FilingRequest, file_partition
from streambackup.realtime.generation_workers import GenerationWorkers
from streambackup.realtime.stream_worker import FetchSettings, StreamWorker
from streambackup.realtime.takeover import Takeover
from streambackup.realtime.turn import Handler
from streambackup.runtime.disk import Disk
from streambackup.runtime.metrics import Metrics
from streambackup.runtime.tasks import supervise
from streambackup.testing.group_bus import GroupBus
from streambackup.testing.lossy_disk import PowerCutError
from streambackup.testing.memory_bus import MemoryBus
from streambackup.testing.memory_groups import Groups
from streambackup.testing.virtual_loop import HOST, Host, VirtualLoop

T = TypeVar("T")

PARK_CHANCE = 0.15
DRAIN_S = 60.0


class DeadProcessError(PowerCutError):
    """The process is no more; nothing it asks for happens. ``at_once``: it dies of this step."""

    def __init__(self, name: str, *, at_once: bool = False) -> None:
        super().__init__(name)
        self.at_once = at_once


class SimulatedClock:
    """Virtual time, and a wall clock that can be moved."""

    def __init__(self, loop: VirtualLoop, start_ms: int) -> None:
        self._loop = loop
        self.offset_ms = start_ms

    def now_ms(self) -> int:
        return self.offset_ms + int(self._loop.time() * 1000)

    def monotonic_s(self) -> float:
        return self._loop.time()


class Settings(NamedTuple):
    """Of all processes of a run."""

    moment_ms: int
    segments: SegmentSettings
    blobs: BlobWorkerSettings
    fetch: FetchSettings


class Surroundings(NamedTuple):
    """What processes share."""

    root: Path
    disk: Disk
    broker: MemoryBus
    groups: Groups
    identity: StoreIdentity
    settings: Settings
    loop: VirtualLoop
    note: Callable[[str], None]
    count_step: Callable[[], None]
    """Told of each step of a disk, ahead of it."""


def group_of(topic: str) -> str:
    """Of the workers of *topic*."""
    return f"workers of {topic}"


class InlineThreads(Executor):
    """Does what it is given at once, in the thread that gives it."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        done: Future[T] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as error:  # the affair of whoever asks for the result
            done.set_exception(error)
        return done


class Process(Host):
    """From its start until it ends by itself, is told to, or is killed.

    ``error`` is what it ended with. It dies at the step of the disk that ``dies_in`` counts to.
    """

    def __init__(
        self, name: str, state: Path, around: Surroundings, clock: SimulatedClock, seed: str
    ) -> None:
        super().__init__(name, seed)
        self.clock = clock
        self.alive = True
        self.error: BaseException | None = None
        self.dies_in: int | None = None
        self._stops_in: int | None = None
        self._away_s = 0.0
        self.is_dying = False
        self._around = around
        self._state = state
        self._stop = asyncio.Event()
        self._bus: GroupBus | None = None
        self._beside: asyncio.TaskGroup | None = None
        self._filing = asyncio.Lock()
        self.context = contextvars.copy_context()
        self.context.run(HOST.set, self)
        self.task: asyncio.Task[None] | None = None

    # What happens to it.

    def start(self, among: asyncio.TaskGroup) -> None:
        self.task = among.create_task(self._live(), name=self.name, context=self.context)

    def calm_down(self) -> None:
        """It neither dies nor stops any more."""
        self.dies_in = self._stops_in = None
        self._around.loop.go_on(self)

    def tell_to_end(self) -> None:
        self._stop.set()

    def kill(self) -> None:
        """As SIGKILL: whatever it still tries does not happen."""
        if self.alive:
            self.alive = False
            self._around.note(f"{self.name} dies")
            if self._bus is not None:
                self._bus.sever()
            self._around.loop.go_on(self)
            if self.task is not None:
                self.task.cancel()

    def send_away(self, away_s: float, *, at_step: int = 0) -> None:
        """Stop it, now or at a step of the disk, as SIGSTOP; so many seconds later it goes on."""
        self._stops_in, self._away_s = at_step or None, away_s
        if not at_step:
            loop = self._around.loop
            loop.stop_host(self)
            loop.call_later(away_s, loop.go_on, self, context=contextvars.Context())

    def _stop_if_due(self) -> None:
        if self._stops_in is not None:
            self._stops_in -= 1
            if self._stops_in <= 0:
                self.send_away(self._away_s)
                VirtualLoop.park()

    def pass_step(self, what: str, path: Path) -> None:
        """Called ahead of each step of its disk: it may die there, or let others run first.

        Raises:
            DeadProcessError: the step does not happen.
        """
        if self.alive:
            if self.random.random() < PARK_CHANCE:
                VirtualLoop.park()
            self._stop_if_due()
        self._around.count_step()
        if not self.alive or self.is_dying:
            raise DeadProcessError(self.name)
        self._around.note(f"{self.name} {what} {path.relative_to(self._around.root)}")
        if self.dies_in is not None:
            self.dies_in -= 1
            if self.dies_in <= 0:
                self.is_dying = True
                self._around.loop.call_soon(self.kill, context=self.context)
                raise DeadProcessError(self.name, at_once=True)

    # What it does.

    async def _live(self) -> None:
        try:
            await self._work()
        except asyncio.CancelledError:
            if self.alive:
                raise
        except BaseException as error:  # Looked at by whoever judges the run.
            if self.alive:
                self.error = error
        self._around.note(f"{self.name} ends: {self.error!r}")
        self.alive = False

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as beside:
            self._beside = beside
            self._bus = self._connect(beside)
            self._bus.split = lambda: self.random.choice([1, 2, 3, 50])
            handlers = (self._account_worker(), self._blob_worker(self._bus))
            parts = {one.journal_topic: self._workers(one).run for one in handlers}
            await supervise(parts, stop=self._stop, drain_s=DRAIN_S)

    def _connect(self, beside: asyncio.TaskGroup) -> GroupBus:
        around = self._around
        return GroupBus(around.broker, around.groups, beside, around.loop.pause_s)

    def _account_worker(self) -> AccountWorker:
        around = self._around
        return AccountWorker(
            root=around.root,
            moment_ms=around.settings.moment_ms,
            disk=around.disk,
            clock=self.clock,
            settings=around.settings.segments,
            metrics=Metrics(),
            filer=self._file,
        )

    def _file(self, request: FilingRequest) -> asyncio.Future[Filed]:
        assert self._beside is not None
        filed: asyncio.Future[Filed] = self._around.loop.create_future()
        self._beside.create_task(self._file_in_turn(request, filed), name="filing")
        return filed

    async def _file_in_turn(self, request: FilingRequest, filed: asyncio.Future[Filed]) -> None:
        """File as the filing process does: one request after the other, whoever waits for it."""
        async with self._filing:
            try:
                result = await asyncio.to_thread(file_partition, request, self._around.disk)
            except Exception as error:  # the affair of whoever asked for it
                if not filed.done():
                    filed.set_exception(error)
            else:
                if not filed.done():
                    filed.set_result(result)

    def _blob_worker(self, bus: GroupBus) -> BlobWorker:
        around = self._around
        return BlobWorker(
            root=around.root,
            state=self._state,
            disk=around.disk,
            clock=self.clock,
            settings=around.settings.blobs,
            metrics=Metrics(),
            threads=InlineThreads(),
            bus=bus,
        )

    def _workers(self, handler: Handler) -> GenerationWorkers[StreamWorker]:
        assert self._bus is not None
        return GenerationWorkers(
            self._bus,
            partial(self._worker, handler),
            takeover=self._takeover(self._bus),
            in_order=handler.journal_topic == TRANSACTIONS,
        )

    def _worker(self, handler: Handler, generation: Generation) -> StreamWorker:
        around = self._around
        assert self._bus is not None
        topics = {TRANSACTIONS: generation.transactions_topic, BLOBS: generation.blobs_topic}
        topic = topics[handler.journal_topic]
        return StreamWorker(
            handler,
            bus=self._bus,
            topic=topic,
            group=group_of(topic),
            life=life_of(generation),
            takeover=self._takeover(self._bus),
            settings=around.settings.fetch,
            clock=self.clock,
            metrics=Metrics(),
        )

    def _takeover(self, bus: GroupBus) -> Takeover:
        return Takeover(
            root=self._around.root,
            bus=bus,
            disk=self._around.disk,
            clock=self.clock,
            identity=self._around.identity,
            draw=self._draw_epoch,
        )

    def _draw_epoch(self, number: int) -> EpochName:
        return EpochName(number, f"{self.random.getrandbits(64):016x}")
