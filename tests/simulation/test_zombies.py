"""A worker that stops between two steps, and goes on when another one owns its partitions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog

from streambackup.testing.simulation.zombies import draw_trials, try_zombie

TRIALS = 200
AT_ONCE = 10
SEED = 1
NAMED = {
    "transactions: ask for bounds",
    "transactions: begin",
    "transactions: fetch",
    "transactions: fetched",
    "transactions: admit",
    "open segment of transactions",
    "write segment of transactions",
    "sync segment of transactions",
    "transactions: tell what is durable",
    "transactions: acknowledge",
    "transactions: have filed what was sealed",
    "write account log",
    "sync all of the store",
    "write mark",
    "sync mark",
    "rename mark",
    "unlink segment of transactions",
    "transactions: end turns",
    "blobs: admit",
    "write unfinished blob",
    "rename blob",
    "write segment of blobs",
    "sync segment of blobs",
    "blobs: acknowledge",
}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Zombies are warned of, and so are their partitions."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    yield
    structlog.reset_defaults()


@pytest.mark.parametrize("first", range(0, TRIALS, AT_ONCE))
def test_a_zombie_changes_no_history_wherever_it_stopped(first: int) -> None:
    trials = list(draw_trials(TRIALS, SEED))[first : first + AT_ONCE]

    results = [try_zombie(trial) for trial in trials]

    pairs = zip(trials, results, strict=True)
    assert [(trial, result) for trial, result in pairs if result.violation] == []
    assert sum(result.zombie > 0 for result in results) > AT_ONCE * 0.8


def test_every_step_of_a_worker_is_tried() -> None:
    assert {trial.stop[0] for trial in draw_trials(TRIALS, SEED)} >= NAMED
