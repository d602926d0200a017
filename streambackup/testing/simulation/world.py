"""The simulated world: a broker, a disk, and slots in which processes live and die."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from pathlib import Path

from streambackup.blobs.compression import CompressionSettings
from streambackup.bus.generations import entry_of, new_generation, specs_of
from streambackup.bus.growth import look
from streambackup.bus.port import TopicPartition
from streambackup.domain.finding import FindingClass
from streambackup.errors import StreamBackupError
from streambackup.events.config import Generation
from streambackup.events.topics import BLOBS, TRANSACTIONS
from streambackup.journal.cover import find_cover
from streambackup.journal.life import life_of, write_life
from streambackup.journal.mark import farthest_mark
from streambackup.journal.segment import PartitionPath
from streambackup.realtime.account_worker import SegmentSettings
from streambackup.realtime.blob_worker import BlobWorkerSettings
from streambackup.realtime.stream_worker import FetchSettings
from streambackup.runtime.disk import Disk
from streambackup.testing.events import GENERATION, MOMENT_MS, TIME_MS
from streambackup.testing.memory_groups import Groups
from streambackup.testing.partition_store import identity, make_store
from streambackup.testing.simulation.broker import Broker
from streambackup.testing.simulation.growing import grow
from streambackup.testing.simulation.mailboxes import GIVE_UP_BYTES, PARTITIONS
from streambackup.testing.simulation.process import (
    DeadProcessError,
    Process,
    Settings,
    SimulatedClock,
    Surroundings,
    group_of,
)
from streambackup.testing.simulation.shared_disk import SharedDisk
from streambackup.testing.virtual_loop import VirtualLoop

PARTITIONS_MAX = 4
IGNORED = ("last_login_ms",)
CATCH_UP_LIMIT_S = 900
MORE_EVERY_S = 60


class ViolationError(Exception):
    """Something that must never happen did."""


class World:
    """Made inside the loop that it lives in. Its steps go to *trace*."""

    def __init__(
        self,
        root: Path,
        seed: str,
        trace: list[str],
        *,
        slots: int,
        segments: SegmentSettings,
        disk: Callable[[Path], SharedDisk] = SharedDisk,
    ) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self.loop = loop
        self.trace = trace
        self._seed = seed
        self._starts = 0
        self.clock = SimulatedClock(loop, TIME_MS + 5_000)
        self.broker = Broker(self.clock)
        self.root = root
        make_store(root, moment_ms=MOMENT_MS, ignored=IGNORED)
        self.first = new_generation(PARTITIONS, id=GENERATION)
        write_life(root, life_of(self.first), Disk())
        self.disk = disk(root)
        self.groups = Groups()
        self.around = Surroundings(
            root=root,
            disk=self.disk,
            broker=self.broker,
            groups=self.groups,
            identity=identity(MOMENT_MS, IGNORED),
            settings=Settings(
                moment_ms=MOMENT_MS,
                segments=segments,
                blobs=BlobWorkerSettings(
                    compression=CompressionSettings(),
                    give_up_bytes=GIVE_UP_BYTES,
                    segment_bytes=2_000,
                ),
                fetch=FetchSettings(batch_records_max=50, fetch_wait_ms=1_000),
            ),
            loop=loop,
            note=self.note,
            count_step=self._count_step,
        )
        self.slots: list[Process | None] = [None] * slots
        self.power_lost_in: int | None = None
        """After so many steps of the disk nothing happens any more until ``lose_power``."""
        self.ended: list[Process] = []
        self._growths: list[asyncio.Task[None]] = []

    async def create_topics(self, generations: Sequence[Generation] = ()) -> None:
        """Those of the first generation, or of *generations*."""
        for generation in generations or [self.first]:
            await self.broker.create(specs_of(generation))
        self.broker.publish([entry_of(one) for one in generations or [self.first]])

    def note(self, what: str) -> None:
        self.trace.append(f"{self.loop.time():.3f} {what}".replace(str(self.root), ""))

    def _count_step(self) -> None:
        if self.power_lost_in is None:
            return
        self.power_lost_in -= 1
        if self.power_lost_in <= 0:
            for process in self.living:
                process.is_dying = True

    @property
    def is_dark(self) -> bool:
        """Whether the power is out, and nobody has noticed."""
        return self.power_lost_in is not None and self.power_lost_in <= 0

    # Processes.

    @property
    def living(self) -> list[Process]:
        return [one for one in self.slots if one is not None and one.alive]

    def fill_slots(self, among: asyncio.TaskGroup) -> None:
        """Start a process wherever none is alive."""
        for at, process in enumerate(self.slots):
            if process is None or not process.alive:
                if process is not None:
                    self.ended.append(process)
                self._starts += 1
                name = f"p{at + 1}.{self._starts}"
                state = self.root.parent / f"state-{at + 1}"
                state.mkdir(exist_ok=True)
                clock = SimulatedClock(self.loop, self.clock.offset_ms)
                started = Process(name, state, self.around, clock, f"{self._seed} {name}")
                self.note(f"{name} starts")
                self.slots[at] = started
                started.start(among)

    async def kill_all(self) -> None:
        """All processes are gone when this returns."""
        for process in self.living:
            process.kill()
        await self._wait_for_the_end()

    async def _wait_for_the_end(self) -> None:
        tasks = [one.task for one in self.slots if one is not None and one.task is not None]
        if tasks:
            await asyncio.wait(tasks)

    async def lose_power(self, seed: int) -> None:
        """Everything dies, and what was not synced is gone.

        Raises:
            ViolationError: something acknowledged is.
        """
        self.note(f"power lost ({seed})")
        await self.kill_all()
        self.power_lost_in = None
        self.disk.make_space()
        self.disk.crash(seed)
        await self.check_acknowledged()

    async def check_acknowledged(self) -> None:
        """Raises ViolationError where the journals do not reach what was acknowledged."""
        for generation in self.broker.generations:
            names = {generation.transactions_topic: TRANSACTIONS, generation.blobs_topic: BLOBS}
            for topic, name in names.items():
                for tp, acknowledged in (await self.broker.acknowledged(group_of(topic))).items():
                    path = PartitionPath(self.root, generation.generation, name, tp.partition)
                    found = find_cover(path, farthest_mark(path).cover).end
                    if found < acknowledged:
                        raise ViolationError(
                            f"{topic}/{tp.partition}: {acknowledged} acknowledged, {found} in "
                            "journals"
                        )

    async def stop_all(self) -> None:
        """All processes end as if told by SIGTERM."""
        for process in self.living:
            process.tell_to_end()
        await self._wait_for_the_end()

    def harmless_faults(self) -> set[FindingClass]:
        """Content that has not come is one. So are lines that a failing sync damaged: what filed
        them repeats them behind, or in its next epoch's log.
        """
        damaged = {FindingClass.DAMAGED_LINE} if self.disk.has_failed else set()
        return {FindingClass.MISSING_BLOB, *damaged}

    async def is_caught_up(self) -> bool:
        bounds = await self.broker.bounds(self.broker.topics)
        done: dict[TopicPartition, int] = {}
        for topic in self.broker.topics:
            done |= await self.broker.acknowledged(group_of(topic))
        return all(done.get(tp, 0) >= at.end for tp, at in bounds.items())

    async def catch_up(self, among: asyncio.TaskGroup, publish_more: Callable[[], None]) -> None:
        """Nothing bad happens any more: workers get to the end, and stop. More is published from
        time to time: an upload without an end holds its partition until enough was.

        Raises:
            ViolationError: they do not within a long time.
        """
        self.note("calm")
        self.power_lost_in = None
        self.disk.make_space()
        self.disk.fails_at_sync = None
        for process in self.living:
            process.calm_down()
        await self.finish_growth()
        waited_s = 0
        while not await self.is_caught_up():
            if waited_s > CATCH_UP_LIMIT_S:
                raise ViolationError(
                    f"not caught up after {CATCH_UP_LIMIT_S} s: {await self.lag()}"
                )
            self.fill_slots(among)
            if waited_s % MORE_EVERY_S == 0:
                publish_more()
            waited_s += 1
            await asyncio.sleep(1)
        await self.stop_all()

    # Growth.

    def grow(self, among: asyncio.TaskGroup, chance: random.Random) -> None:
        """Begin to grow beside all else, or go on with it; it may die on the way."""
        partitions = self.broker.generations[-1].partitions + chance.randint(0, 1)
        if partitions <= PARTITIONS_MAX:
            growth = grow(self.broker, self.clock, partitions, self.note, chance, dies=True)
            self._growths.append(among.create_task(growth, name="growth"))

    async def finish_growth(self) -> None:
        """Wait for all growths, and end what is left of them."""
        if self._growths:
            await asyncio.wait(self._growths)
        seen = await look(self.broker)
        wanted = (seen.after or seen.before).partitions
        chance = random.Random(f"{self._seed} growth")
        await grow(self.broker, self.clock, wanted, self.note, chance, dies=False)

    async def lag(self) -> str:
        bounds = await self.broker.bounds(self.broker.topics)
        said = [await self.broker.acknowledged(group_of(one)) for one in self.broker.topics]
        return f"ends {bounds}, acknowledged {said}"

    def unexpected_errors(self) -> list[str]:
        """What processes ended with that is not an error of ours for the world's faults."""
        ended = [*self.ended, *(one for one in self.slots if one is not None)]
        errors = [(process.name, error) for process in ended for error in _flat(process.error)]
        errors += [("nobody saw", error) for one in self.loop.unseen for error in _flat(one)]
        expected = (StreamBackupError, DeadProcessError)
        return [f"{name}: {error!r}" for name, error in errors if not isinstance(error, expected)]


def _flat(error: BaseException | None) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [inner for one in error.exceptions for inner in _flat(one)]
    return [] if error is None else [error]


def random_segments(chance: random.Random) -> SegmentSettings:
    return SegmentSettings(
        segment_bytes=chance.choice([300, 1_000, 4_000]),
        segment_age_ms=chance.choice([500, 3_000, 20_000]),
        segment_retention_ms=chance.choice([0, 2_000, 10**9]),
        logs_max=chance.choice([1, 2, 2, 8]),
    )
