"""The reading half of a replay: topics from their beginning to the ends noted at the start."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import ChainMap
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial

import msgspec

from streambackup.bus.bounded import BoundedReading, Pace
from streambackup.bus.port import Bounds, Bus, TopicPartition
from streambackup.errors import InterruptedRunError, TopicError
from streambackup.events.config import Generation
from streambackup.journal.life import life_of, write_life
from streambackup.realtime.account_worker import Filer
from streambackup.realtime.turn import Handler
from streambackup.runtime.memory import settle_for_batches
from streambackup.runtime.tasks import Part, stopped_by_signals, supervise
from streambackup.service.filer import filing_processes
from streambackup.service.wiring import Workers, topic_of

PROGRESS_EVERY_S = 1.0


class PartitionProgress(msgspec.Struct, frozen=True):
    """A partition that began at ``begin``, of which ``read_to`` is read next, up to ``end``."""

    topic: str
    partition: int
    begin: int
    read_to: int
    end: int


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far a replay is with what it is ``doing``: of records, accounts or contents."""

    doing: str
    done: int
    total: int | None = None
    partitions: list[PartitionProgress] = []


Progress = Callable[[Step], None]


def interrupted() -> InterruptedRunError:
    return InterruptedRunError(
        "the replay was stopped before its end", hint="The same command goes on where it was."
    )


class TopicsHeld(msgspec.Struct, frozen=True):
    """All *generations*, oldest first; the *buses* of those whose topics are held, by their ids,
    and what these topics had when the replay began.
    """

    generations: list[Generation]
    buses: dict[str, Bus]
    bounds: dict[TopicPartition, Bounds]

    @property
    def held(self) -> list[Generation]:
        return [one for one in self.generations if one.generation in self.buses]

    @property
    def lost(self) -> list[Generation]:
        """Those whose topics are gone."""
        return [one for one in self.generations if one.generation not in self.buses]


async def find_topics(
    bus_of: Callable[[Generation], Bus], listed: Sequence[Generation]
) -> TopicsHeld:
    """What there is to replay of the generations *listed*. Ends of content are noted last: it is
    there before it is named.

    Raises:
        TopicError: there is nothing.
    """
    generations = [one for one in listed if one.state != "preparing"]
    buses: dict[str, Bus] = {}
    bounds: dict[TopicPartition, Bounds] = {}
    for generation in generations:
        bus = bus_of(generation)
        with contextlib.suppress(TopicError):
            found = await bus.bounds([generation.transactions_topic])
            found |= await bus.bounds([generation.blobs_topic])
            bounds |= found
            buses[generation.generation] = bus
    if not buses:
        raise TopicError(
            "the topics do not exist", hint="'streambackup topic describe' shows what there is."
        )
    return TopicsHeld(generations, buses, bounds)


async def fold_topics(workers: Workers, topics: TopicsHeld, pace: Pace, progress: Progress) -> None:
    """Fold the *topics*, one generation after the other; all is durable and filed on return. What
    is lost with the topics of a closed generation is a gap.

    Raises:
        InterruptedRunError: it was told to stop. BusError, StoreError: what ended it.
    """
    settle_for_batches()
    ends = {tp: held.end for tp, held in topics.bounds.items()}
    readings = {bus: BoundedReading(bus, ends, pace) for bus in topics.buses.values()}
    told = partial(_tell, topics.bounds, readings.values(), progress)
    threads = ThreadPoolExecutor(workers.settings.blobs.threads)
    with filing_processes() as filer, threads:
        for generation in topics.generations:
            life = life_of(generation)
            await asyncio.to_thread(write_life, workers.home.root, life, workers.disk)
            if bus := topics.buses.get(generation.generation):
                reading = readings[bus]
                await _Folding(workers, generation, reading).run(filer, threads, told)
                told()
            elif generation.state == "closed":
                await asyncio.to_thread(workers.takeover(workers.bus).give_up, generation)


class _Folding:
    """The workers of one generation, at work until both have all that stands below the ends."""

    def __init__(self, workers: Workers, generation: Generation, reading: BoundedReading) -> None:
        self._workers = workers
        self._generation = generation
        self._reading = reading
        self._ended = asyncio.Event()
        self._unread: set[str] = set()

    async def run(self, filer: Filer, threads: Executor, tell: Callable[[], None]) -> None:
        account = self._workers.account_handler(filer)
        blob = self._workers.blob_handler(threads, self._reading.bus)
        parts: dict[str, Part] = {
            "account": self._part(account),
            "blob": self._part(blob),
            "progress": partial(_tell_often, tell),
        }
        async with stopped_by_signals(self._ended):
            # What is left to file takes as long as it takes, unless a second signal ends that too.
            await supervise(parts, stop=self._ended, drain_s=math.inf)
        if self._unread:
            raise interrupted()

    def _part(self, handler: Handler) -> Part:
        topic = topic_of(handler, self._generation)
        self._unread.add(topic)
        settled = partial(self._settled, topic)
        replaying = self._workers.replaying_worker
        return replaying(handler, self._generation, self._reading, settled).run

    def _settled(self, topic: str) -> None:
        """The worker of *topic* has made durable whatever it was given."""
        if self._reading.at_end(topic):
            self._unread.discard(topic)
        if not self._unread:
            self._ended.set()


async def _tell_often(tell: Callable[[], None], ended: asyncio.Event) -> None:
    while not ended.is_set():
        tell()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), PROGRESS_EVERY_S)


def _tell(
    bounds: Mapping[TopicPartition, Bounds],
    readings: Iterable[BoundedReading],
    progress: Progress,
) -> None:
    read_to = ChainMap(*(reading.read_to for reading in readings))
    partitions = [
        PartitionProgress(*tp, held.begin, min(read_to.get(tp, held.begin), held.end), held.end)
        for tp, held in sorted(bounds.items())
    ]
    done = sum(at.read_to - at.begin for at in partitions)
    total = sum(at.end - at.begin for at in partitions)
    progress(Step("replaying", done, total, partitions))
