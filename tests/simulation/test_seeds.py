"""The workers in simulated worlds: nothing acknowledged is lost, nothing is folded twice, and what
is read is what the model makes of the records, whatever happened on the way.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from streambackup.testing.simulation.run import reproduction, simulate

ROOT = Path(__file__).parents[2]
SEEDS = 500
AT_ONCE = 25


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Worlds full of trouble would fill the log."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    yield
    structlog.reset_defaults()


@pytest.mark.parametrize("first", range(1, SEEDS + 1, AT_ONCE))
def test_no_world_breaks_what_must_hold(first: int) -> None:
    verdicts = [simulate(seed) for seed in range(first, first + AT_ONCE)]

    failed = [v for v in verdicts if v.violation]
    told = [f"seed {v.seed}: {v.violation}\n  again: {reproduction(v.seed)}" for v in failed]
    assert told == []
    assert sum(verdict.starts for verdict in verdicts) > AT_ONCE


@pytest.mark.parametrize("seed", [3, 7])
def test_the_same_seed_takes_the_same_steps_in_any_process(seed: int) -> None:
    """Hashes of strings differ from process to process, and so does the order of sets."""
    told = [
        subprocess.run(
            ["scripts/simulate", "--seeds", "1", "--first", str(seed), "--trace", "--json"],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            check=True,
        ).stdout.splitlines()
        for hash_seed in ("1", "2")
    ]
    traces = [lines[:-1] for lines in told]

    assert traces[0] == traces[1]
    assert len(traces[0]) > 100
    assert json.loads(told[0][-1])["failed"] == []


def test_seeds_differ() -> None:
    assert simulate(3).trace_digest != simulate(4).trace_digest
