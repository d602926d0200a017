"""Power is lost behind every operation of a recorded run of the workers, with all that a disk may
make of what was not synced; whoever starts next mends it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from streambackup.testing.simulation.crash_states import Bench, crash_states, record
from streambackup.testing.simulation.run import fast_directory
from streambackup.testing.simulation.storage_trace import (
    AllSynced,
    Created,
    DirectorySynced,
    Image,
    Made,
    Moved,
    Operation,
    Storage,
    Synced,
    Written,
)
from tests.crash import script

SAMPLES = 3 * script.ROUNDS // 2
"""Of what lies between nothing and all of what was not synced; ``scripts/crash --all`` takes more.
"""
GO_ON_EVERY = 40
"""Of the states that differ so many are looked at and one is worked on to the end."""

pytestmark = [pytest.mark.crash, pytest.mark.timeout(60 * script.ROUNDS)]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """What was lost is warned of, thousands of times."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    yield
    structlog.reset_defaults()


@pytest.mark.row("F017", part="power cuts")
@pytest.mark.parametrize(("seed", "syncfs"), [(1, False), (2, True), (3, False)])
def test_no_state_that_a_power_cut_leaves_is_a_fault_or_a_loss(seed: int, syncfs: bool) -> None:
    with fast_directory() as directory:
        (directory / "recorded").mkdir()
        recording = record(directory / "recorded" / "store", seed, syncfs=syncfs)
        bench = Bench(directory / "bench", recording)
        states = 0
        seen = set[bytes]()
        for state in crash_states(recording, seed, SAMPLES):
            states += 1
            if state.digest not in seen:
                seen.add(state.digest)
                bench.judge(state)
                if len(seen) % GO_ON_EVERY == 0:
                    bench.go_on(state)

    assert states > 300 * SAMPLES
    assert len(seen) > 80 * SAMPLES


def left(*operations: Operation) -> list[Image]:
    """What a power cut behind *operations* may leave."""
    storage = Storage({})
    for operation in operations:
        storage.apply(operation)
    images = list(storage.crashed(random.Random(1), 8))
    return [image for at, image in enumerate(images) if image not in images[:at]]


A, B = Path("a"), Path("b")


def test_a_name_that_was_not_synced_may_be_missing() -> None:
    created = Created(A, 1), Written(1, b"xyz"), Synced(1)

    assert left(*created) == [{}, {A: b"xyz"}]
    assert left(*created, DirectorySynced(Path())) == [{A: b"xyz"}]


def test_content_that_was_not_synced_may_be_there_in_part_or_be_zeros() -> None:
    images = left(Created(A, 1), DirectorySynced(Path()), Written(1, b"xyz"))

    assert {A: b""} in images
    assert {A: b"xyz"} in images
    assert {A: bytes(3)} in images
    assert all(len(image[A] or b"") <= 3 for image in images)


def test_a_move_takes_place_wholly_or_not() -> None:
    images = left(Created(A, 1), AllSynced(), Moved(A, B))

    assert images == [{A: b""}, {B: b""}]


def test_moves_in_two_directories_take_place_in_any_order() -> None:
    images = left(Made(A), Made(B), AllSynced(), Created(A / "1", 1), Created(B / "2", 2))

    assert {tuple(map(str, sorted(image))) for image in images} == {
        ("a", "b"),
        ("a", "a/1", "b"),
        ("a", "b", "b/2"),
        ("a", "a/1", "b", "b/2"),
    }
