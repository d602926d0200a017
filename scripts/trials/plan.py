"""What a chaos run does and when: drawn from a seed, before anything is done."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple

WORKERS = 4
BROKERS = 3
SESSION_MS = 3_000


class Act(StrEnum):
    """Each is taken back by the one that stands behind it in ``ENDED_BY``."""

    START = "start"
    KILL = "kill -9"
    LEAVE = "SIGTERM"
    STOP = "SIGSTOP"
    GO_ON = "SIGCONT"
    CUT = "cut off"
    SILENCE = "silence"
    MEND = "mend"
    KILL_BROKER = "kill -9 broker"
    START_BROKER = "start broker"
    CUT_BROKER = "cut off broker"
    SILENCE_BROKER = "silence broker"
    MEND_BROKER = "mend broker"


ENDED_BY = {
    Act.KILL: Act.START,
    Act.LEAVE: Act.START,
    Act.STOP: Act.GO_ON,
    Act.CUT: Act.MEND,
    Act.SILENCE: Act.MEND,
    Act.KILL_BROKER: Act.START_BROKER,
    Act.CUT_BROKER: Act.MEND_BROKER,
    Act.SILENCE_BROKER: Act.MEND_BROKER,
}


class Kind(NamedTuple):
    """How often something happens among others, and the least and most seconds that it lasts."""

    weight: int
    least_s: float
    most_s: float


TO_WORKERS = {
    Act.STOP: Kind(12, 2.0 * SESSION_MS / 1000, 4.0 * SESSION_MS / 1000),
    Act.KILL: Kind(4, 0.2, 4.0),
    Act.LEAVE: Kind(2, 0.5, 4.0),
    Act.CUT: Kind(2, 0.5, 2.5 * SESSION_MS / 1000),
    Act.SILENCE: Kind(2, 0.5, 2.5 * SESSION_MS / 1000),
}
"""A connection that is cut is refused; one that is silent is open and carries nothing."""
TO_BROKERS = {
    Act.KILL_BROKER: Kind(2, 1.0, 5.0),
    Act.CUT_BROKER: Kind(1, 1.0, 6.0),
    Act.SILENCE_BROKER: Kind(1, 1.0, 6.0),
}
WORKS_S = 4.0, 12.0
"""How long a worker is left alone."""
BROKERS_WORK_S = 18.0, 30.0
"""After this the three have all replicas again, also on a slow machine."""
ALL_AT_WORK_S = 5.0


class Step(NamedTuple):
    """*act* on the worker or broker of number *who*, so many seconds after the beginning."""

    at_s: float
    act: Act
    who: int

    def __str__(self) -> str:
        return f"{self.at_s:6.1f} s  {self.act.value} {self.who}"


def draw_plan(seed: int, seconds: float) -> list[Step]:
    """What happens in so many *seconds*; in the end all is as it was in the beginning."""
    steps: list[Step] = []
    for who in range(1, WORKERS + 1):
        chance = random.Random(f"{seed} worker {who}")
        steps += _life(chance, [who], TO_WORKERS, WORKS_S, seconds)
    chance = random.Random(f"{seed} brokers")
    steps += _life(chance, range(1, BROKERS + 1), TO_BROKERS, BROKERS_WORK_S, seconds)
    return sorted(steps)


def _life(
    chance: random.Random,
    whom: Sequence[int],
    kinds: dict[Act, Kind],
    pause_s: tuple[float, float],
    seconds: float,
) -> Iterator[Step]:
    """One thing after the other, with pauses between, each to one *whom* it may happen to."""
    at_s = ALL_AT_WORK_S + chance.uniform(0, pause_s[1])
    weights = [kind.weight for kind in kinds.values()]
    while True:
        (act,) = chance.choices(list(kinds), weights)
        until_s = at_s + chance.uniform(kinds[act].least_s, kinds[act].most_s)
        if until_s > seconds:
            return
        who = chance.choice(whom)
        yield Step(round(at_s, 1), act, who)
        yield Step(round(until_s, 1), ENDED_BY[act], who)
        at_s = until_s + chance.uniform(*pause_s)
