"""Zombie trials: a worker stops at a step, a second one takes over, the first one goes on.

The steps are those of the production workers, on a real directory and a bus in memory, in virtual
time. What is left is compared with what a worker makes of the same mail that nothing stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from streambackup.coherency.check import check_store
from streambackup.reading.fingerprint import fingerprint
from streambackup.reading.store_reader import StoreReader
from streambackup.realtime.account_worker import SegmentSettings
from streambackup.testing.simulation.mailboxes import Mailboxes
from streambackup.testing.simulation.process import SimulatedClock
from streambackup.testing.simulation.producers import Producers
from streambackup.testing.simulation.run import fast_directory
from streambackup.testing.simulation.stopping import StoppingProcess
from streambackup.testing.simulation.world import ViolationError, World
from streambackup.testing.virtual_loop import run

ROUNDS = 8
ROUND_S = 17.0
AWAKE_S = 30.0
"""How long it goes on before all come to their end."""
TAKE_OVER_LIMIT_S = 120
SEGMENTS = SegmentSettings(segment_bytes=1_500, segment_age_ms=3_000, segment_retention_ms=2_000)
MAILS = 12
"""So many different mails; each has a run that nothing disturbs, for all trials with it."""

Stop = tuple[str, int]
"""A step, and which time the worker comes to it."""


class Trial(NamedTuple):
    """The mail's seed and where the worker stops."""

    mail: int
    stop: Stop


class Result(NamedTuple):
    """What is wrong with what was left, empty where nothing is; how often the worker spoke to a
    group that had gone on without it.
    """

    violation: str
    zombie: int


class Undisturbed(NamedTuple):
    """How often a worker comes to each step, and what it leaves."""

    passed: Counter[str]
    fingerprint: str


def draw_trials(trials: int, seed: int) -> Iterator[Trial]:
    """Each step in its turn, at one of the times that a worker comes to it."""
    chance = random.Random(seed)
    steps = sorted({step for mail in range(MAILS) for step in undisturbed(mail).passed})
    for number in range(trials):
        step = steps[number % len(steps)]
        mails = [mail for mail in range(MAILS) if step in undisturbed(mail).passed]
        mail = chance.choice(mails)
        yield Trial(mail, (step, chance.randint(1, undisturbed(mail).passed[step])))


@functools.cache
def undisturbed(mail: int) -> Undisturbed:
    with fast_directory() as directory:
        story = _Story(directory, mail, None)
        run(story.play(), seed=mail)
        return Undisturbed(story.first.passed, story.fingerprint())


def try_zombie(trial: Trial) -> Result:
    """Stop a worker there, and judge what it and its successor leave."""
    wanted = undisturbed(trial.mail).fingerprint
    with fast_directory() as directory:
        story = _Story(directory, trial.mail, trial.stop)
        violation = ""
        try:
            run(story.play(), seed=trial.mail)
        except ViolationError as found:
            violation = str(found)
        if not violation and not story.first.stopped.is_set():
            violation = "it never came there"
        if not violation and story.fingerprint() != wanted:
            violation = "a history changed"
        return Result(violation, story.zombies)


class _Story:
    """What happens in a trial; without a *stop* nothing bad does."""

    def __init__(self, directory: Path, mail: int, stop: Stop | None) -> None:
        self._root = directory / "one" / "store"
        self._mail = mail
        self._stop = stop
        self.zombies = 0
        self.first: StoppingProcess

    def fingerprint(self) -> str:
        return fingerprint(StoreReader(self._root))

    async def play(self) -> None:
        """Raises ViolationError where anything is not as it must be."""
        self._root.parent.mkdir()
        world = World(self._root, f"{self._mail}", [], slots=2, segments=SEGMENTS)
        await world.create_topics()
        async with asyncio.TaskGroup() as among:
            self.first = self._start(world, among)
            mailboxes = Mailboxes(f"{self._mail} mail", Producers(world.broker))
            for _ in range(ROUNDS):
                mailboxes.step()
                await self._wait(world, among, ROUND_S)
            mailboxes.let_uploads_end()
            await self._wait(world, among, ROUND_S)
            self.first.tell_to_end()
            await self._wait(world, among, ROUND_S)
            if self.first.stopped.is_set():
                await self._let_it_wake(world)
            self.zombies = world.groups.zombies
            await world.catch_up(among, mailboxes.let_uploads_end)
        _judge(world)

    def _start(self, world: World, among: asyncio.TaskGroup) -> StoppingProcess:
        state = self._root.parent / "state-1"
        state.mkdir()
        clock = SimulatedClock(world.loop, world.clock.offset_ms)
        first = StoppingProcess(
            "first", state, world.around, clock, f"{self._mail} first", stops_at=self._stop
        )
        world.slots[0] = first
        first.start(among)
        return first

    async def _wait(self, world: World, among: asyncio.TaskGroup, seconds: float) -> None:
        """Let time pass; as soon as the first has stopped there is a second."""
        until_s = world.loop.time() + seconds
        if world.slots[1] is None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.first.stopped.wait(), seconds)
                world.fill_slots(among)
        await asyncio.sleep(until_s - world.loop.time())

    async def _let_it_wake(self, world: World) -> None:
        """The second owns everything and is at its end when the first goes on."""
        waited_s = 0
        while not await world.is_caught_up():
            if waited_s > TAKE_OVER_LIMIT_S:
                raise ViolationError(f"the second does not get on: {await world.lag()}")
            waited_s += 1
            await asyncio.sleep(1)
        world.loop.go_on(self.first)
        await asyncio.sleep(AWAKE_S)


def _judge(world: World) -> None:
    if unexpected := world.unexpected_errors():
        raise ViolationError(f"ended unexpectedly: {unexpected}")
    harmless = world.harmless_faults()
    faults = [found for found in check_store(world.root).faults if found.finding not in harmless]
    if faults:
        raise ViolationError(f"the check finds {faults}")
