"""Zombie trials from the command line; see streambackup/testing/simulation/zombies.py."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import structlog

from streambackup.testing.simulation.zombies import draw_trials, try_zombie

TELL_EVERY = 100


def try_zombies(trials: int, seed: int, say: Callable[[str], None]) -> dict[str, object]:
    """Make so many *trials*; returns how many, how often at each step, and which failed."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    steps, failed, zombies = Counter[str](), list[str](), 0
    for number, trial in enumerate(draw_trials(trials, seed), 1):
        result = try_zombie(trial)
        steps[trial.stop[0]] += 1
        zombies += result.zombie > 0
        if result.violation:
            failed.append(f"{trial}: {result.violation}")
            say(failed[-1])
        if number % TELL_EVERY == 0:
            say(f"{number} trials, {len(failed)} failed")
    return {
        "trials": trials,
        "zombies": zombies,
        "failed": failed,
        "steps": dict(sorted(steps.items())),
        "seed": seed,
    }
