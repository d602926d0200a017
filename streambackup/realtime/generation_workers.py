"""A worker for every generation of the topics, started as they are listed.

Whoever reads histories folds one generation after the other, so the transactions of a later one
wait until the end records of all before it are in the store's journals. Those before keep their
owners: what comes behind an end is still journalled, for readers to set aside.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

import structlog

from streambackup.bus.generations import GenerationList, has_topics
from streambackup.bus.port import Bus
from streambackup.errors import AccessError, BusError, TopicError
from streambackup.events.config import Generation
from streambackup.journal.life import life_of, write_life
from streambackup.reading.lives import is_read_to_end
from streambackup.realtime.takeover import Takeover

log = structlog.get_logger()

LOOK_EVERY_S = 1.0


class Worker(Protocol):
    """Of one generation."""

    async def run(self, stop: asyncio.Event) -> None: ...


W = TypeVar("W", bound=Worker)


class GenerationWorkers(Generic[W]):
    """Runs what *worker_of* makes of each generation that *bus* lists, for *takeover*'s store.

    Their lives are noted in the order of the list. Where *in_order*, one waits for the ends of all
    before it. *bus_of* tells which bus a generation is on, None where only another process can read
    that. One whose topics were deleted has no worker.
    """

    def __init__(
        self,
        bus: Bus,
        worker_of: Callable[[Generation], W],
        *,
        takeover: Takeover,
        in_order: bool,
        bus_of: Callable[[Generation], Bus | None] | None = None,
    ) -> None:
        self._bus_of = bus_of or (lambda _: bus)
        self._listed = GenerationList(bus)
        self._worker_of = worker_of
        self._takeover = takeover
        self._in_order = in_order
        self._gone = set[str]()
        self._at_end = set[tuple[str, int]]()
        self._begun = set[str]()
        self._failed: list[Exception] = []
        self.running: dict[W, Bus] = {}
        """The workers that were started, each with the bus that its generation is on."""

    async def run(self, stop: asyncio.Event) -> None:
        """Work until *stop* is set, or one of the workers fails, then let all end.

        Raises:
            StreamBackupError: the first of them failed with it.
        """
        async with asyncio.TaskGroup() as group:
            while not stop.is_set():
                for generation in await self._look():
                    bus = self._bus_of(generation)
                    assert bus is not None  # It was found there.
                    worker = self._worker_of(generation)
                    self._begun.add(generation.generation)
                    self.running[worker] = bus
                    group.create_task(self._run_one(worker, stop))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), LOOK_EVERY_S)
        if self._failed:
            raise self._failed[0]

    async def _look(self) -> list[Generation]:
        """The generations whose workers are to begin now."""
        try:
            listed = await self._listed.read()
            ready = [one for one in listed if one.state != "preparing"]
            here = [one for one in ready if await self._is_here(one)]
        except (TopicError, AccessError):
            raise
        except BusError as away:
            log.debug("generations_not_known", reason=away.message)
            return []
        if all(one.generation in self._begun | self._gone for one in ready):
            return []
        return await asyncio.to_thread(self._due, ready, here)

    async def _is_here(self, one: Generation) -> bool:
        """Whether this process can read the topics of a generation; notes when nobody can."""
        if one.generation in self._begun | self._gone:
            return one.generation in self._begun
        bus = self._bus_of(one)
        there = bus is not None and (one.state == "open" or await has_topics(bus, one))
        if bus is not None and not there and one.state == "closed":
            self._gone.add(one.generation)
        return there

    def _due(self, ready: Sequence[Generation], here: Sequence[Generation]) -> list[Generation]:
        due = []
        root, disk = self._takeover.root, self._takeover.disk
        for one in ready:
            write_life(root, life_of(one), disk)
            if one.generation in self._gone:
                if self._in_order:
                    self._takeover.give_up(one)
            elif one in here and one.generation not in self._begun:
                due.append(one)
            if self._in_order and not self._is_read(one):
                break
        return due

    def _is_read(self, generation: Generation) -> bool:
        """Whether all of a generation is journalled; what is known of its partitions stays so."""
        if generation.state != "closed":
            return False
        for partition in range(generation.partitions):
            at = (generation.generation, partition)
            if at not in self._at_end:
                if not is_read_to_end(self._takeover.root, generation, partition):
                    return False
                self._at_end.add(at)
        return True

    async def _run_one(self, worker: W, stop: asyncio.Event) -> None:
        try:
            await worker.run(stop)
        except Exception as error:
            self._failed.append(error)
            stop.set()
