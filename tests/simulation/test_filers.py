"""Owners of one partition that file, merge and retire at once, stopped between any two steps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from streambackup.testing.simulation.filers import Filers
from streambackup.testing.simulation.run import fast_directory
from streambackup.testing.simulation.world import ViolationError

SEEDS = 200
AT_ONCE = 20


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Filers full of trouble would fill the log."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    yield
    structlog.reset_defaults()


def play(seed: int) -> tuple[int, str]:
    """How many logs were merged, and what must not have happened."""
    with fast_directory() as directory:
        filers = Filers(Path(directory) / "store", seed)
        try:
            filers.play()
        except ViolationError as violation:
            return filers.merged, f"seed {seed}: {violation}"
        return filers.merged, ""


@pytest.mark.parametrize("first", range(1, SEEDS + 1, AT_ONCE))
def test_no_filers_lose_or_repeat_a_record(first: int) -> None:
    played = [play(seed) for seed in range(first, first + AT_ONCE)]

    assert [violation for _, violation in played if violation] == []
    assert sum(merged for merged, _ in played) > 0
