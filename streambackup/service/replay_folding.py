"""The reading half of a replay: topics from their beginning to the ends noted at the start."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import math
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial

import msgspec

from streambackup.bus.bounded import BoundedReading, Pace
from streambackup.bus.port import Bounds, Bus, TopicPartition
from streambackup.errors import InterruptedRunError, TopicError
from streambackup.events.config import Generation
from streambackup.journal.life import write_life
from streambackup.realtime.account_worker import Filer
from streambackup.realtime.turn import Handler
from streambackup.runtime.memory import settle_for_batches
from streambackup.runtime.tasks import Part, stopped_by_signals, supervise
from streambackup.service.filer import filing_processes
from streambackup.service.generations import life_of
from streambackup.service.wiring import Workers

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
    """The generations, oldest first, whose topics the bus has, with what they held when the replay
    began; and those whose topics are gone.
    """

    generations: list[Generation]
    bounds: dict[TopicPartition, Bounds]
    lost: list[str]


async def find_topics(bus: Bus, generations: list[Generation]) -> TopicsHeld:
    """What there is to replay. Ends of content are noted last: it is there before it is named.

    Raises:
        TopicError: there is nothing.
    """
    held: list[Generation] = []
    bounds: dict[TopicPartition, Bounds] = {}
    for generation in generations:
        with contextlib.suppress(TopicError):
            bounds |= await bus.bounds([generation.transactions_topic])
            bounds |= await bus.bounds([generation.blobs_topic])
            held.append(generation)
    if not held:
        raise TopicError(
            "the topics do not exist", hint="'streambackup topic describe' shows what there is."
        )
    lost = [one.generation for one in generations if one not in held]
    return TopicsHeld(held, bounds, lost)


async def fold_topics(workers: Workers, topics: TopicsHeld, pace: Pace, progress: Progress) -> None:
    """Fold the *topics*, one generation after the other; all is durable and filed on return.

    Raises:
        InterruptedRunError: it was told to stop. BusError, StoreError: what ended it.
    """
    settle_for_batches()
    ends = {tp: held.end for tp, held in topics.bounds.items()}
    reading = BoundedReading(workers.bus, ends, pace)
    threads = ThreadPoolExecutor(workers.settings.blobs.threads)
    with filing_processes() as filer, threads:
        for generation in topics.generations:
            life = life_of(generation)
            await asyncio.to_thread(write_life, workers.home.root, life, workers.disk)
            of_one = dataclasses.replace(workers, generation=generation)
            told = partial(_tell, topics.bounds, reading, progress)
            await _Folding(of_one, reading).run(filer, threads, told)
            told()


class _Folding:
    """The workers of one generation, at work until both have all that stands below the ends."""

    def __init__(self, workers: Workers, reading: BoundedReading) -> None:
        self._workers = workers
        self._reading = reading
        self._ended = asyncio.Event()
        self._unread: set[str] = set()

    async def run(self, filer: Filer, threads: Executor, tell: Callable[[], None]) -> None:
        account, blob = self._workers.account_handler(filer), self._workers.blob_handler(threads)
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
        topic = self._workers.topic_of(handler)
        self._unread.add(topic)
        settled = partial(self._settled, topic)
        return self._workers.replaying_worker(handler, self._reading, settled).run

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
    bounds: Mapping[TopicPartition, Bounds], reading: BoundedReading, progress: Progress
) -> None:
    partitions = [
        PartitionProgress(
            *tp, held.begin, min(reading.read_to.get(tp, held.begin), held.end), held.end
        )
        for tp, held in sorted(bounds.items())
    ]
    done = sum(at.read_to - at.begin for at in partitions)
    total = sum(at.end - at.begin for at in partitions)
    progress(Step("replaying", done, total, partitions))
