"""One simulated run: from a seed to a verdict."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
import tempfile
import traceback
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from streambackup.realtime.account_worker import SegmentSettings
from streambackup.testing.simulation.chaos import Chaos
from streambackup.testing.simulation.judges import judge, judge_replay
from streambackup.testing.simulation.mailboxes import Mailboxes
from streambackup.testing.simulation.producers import Producers
from streambackup.testing.simulation.shared_disk import SharedDisk
from streambackup.testing.simulation.watcher import Watcher
from streambackup.testing.simulation.world import (
    ViolationError,
    World,
    random_segments,
)
from streambackup.testing.virtual_loop import run

HAPPENINGS = (5, 30)
SLOTS = (1, 2, 2, 3)


class Verdict(NamedTuple):
    """What a run showed. ``violation`` is empty where all was as it must be.

    ``zombies`` are processes that went on when their group had gone on without them.
    """

    seed: int
    violation: str
    trace: list[str]
    trace_digest: str
    records: int
    starts: int
    rebalances: int
    power_losses: int
    zombies: int


def simulate(seed: int) -> Verdict:
    """Run the workers through what *seed* draws for them; the same seed does the same."""
    trace: list[str] = []
    with fast_directory() as directory:
        story = _Story(directory, seed, trace)
        violation = ""
        try:
            run(story.play(), seed=seed)
        except ViolationError as error:
            violation = str(error)
        except Exception as error:  # An assertion of ours, say: it has its seed too.
            violation = "".join(traceback.format_exception(error))
        return story.verdict(violation)


def reproduction(seed: int) -> str:
    """How to see again what *seed* does, step by step."""
    return f"scripts/simulate --seeds 1 --first {seed} --trace"


@contextlib.contextmanager
def fast_directory() -> Iterator[Path]:
    """A directory until the block ends, in memory where the system has one there."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as directory:
        yield Path(directory)


class _Story:
    def __init__(self, directory: Path, seed: int, trace: list[str]) -> None:
        self._directory = directory
        self._seed = seed
        self._trace = trace
        self._world: World | None = None

    async def play(self) -> None:
        """Raises ViolationError where anything is not as it must be."""
        chance = random.Random(f"{self._seed} story")
        root = self._directory / "one" / "store"
        root.parent.mkdir()
        world = self._world = World(
            root,
            f"{self._seed}",
            self._trace,
            slots=chance.choice(SLOTS),
            segments=random_segments(chance),
            disk=partial(SharedDisk, syncfs=chance.random() < 0.5),
        )
        await world.create_topics()
        mailboxes = Mailboxes(f"{self._seed} mail", Producers(world.broker))
        watcher = Watcher(world)
        chaos = Chaos(world, mailboxes, watcher, f"{self._seed} chaos")
        error: ViolationError | None = None
        async with asyncio.TaskGroup() as among:
            try:
                await chaos.reign(chance.randint(*HAPPENINGS), among)
                await world.catch_up(among, mailboxes.let_uploads_end)
            except ViolationError as found:
                error = found
                await world.kill_all()
        if error is not None:
            raise error
        if unexpected := world.unexpected_errors():
            raise ViolationError(f"ended unexpectedly: {unexpected}")
        judge(world, mailboxes, chance)
        judge_replay(root, await self._replay(world))

    async def _replay(self, world: World) -> Path:
        """The same records into a new store, with nothing in the way."""
        root = self._directory / "replay" / "store"
        root.parent.mkdir()
        replay = World(root, f"{self._seed} replay", [], slots=1, segments=SegmentSettings())
        await replay.create_topics(world.broker.generations)
        for tp, records in world.broker.kept.items():
            replay.broker.refill(tp, records)
        async with asyncio.TaskGroup() as among:
            mailboxes = Mailboxes("replay", Producers(replay.broker))
            await replay.catch_up(among, mailboxes.let_uploads_end)
        return root

    def verdict(self, violation: str) -> Verdict:
        world = self._world
        assert world is not None
        records = sum(len(kept) for kept in world.broker.kept.values())
        return Verdict(
            seed=self._seed,
            violation=violation,
            trace=self._trace,
            trace_digest=hashlib.sha256("\n".join(self._trace).encode()).hexdigest()[:16],
            records=records,
            starts=sum(line.endswith(" starts") for line in self._trace),
            rebalances=world.groups.rebalances,
            power_losses=sum(" power lost" in line for line in self._trace),
            zombies=world.groups.zombies,
        )
