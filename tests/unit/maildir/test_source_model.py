"""Whatever is done to a tree, and whenever, what was sent folds to what the tree holds."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streambackup.domain.modified_utf7 import encode_modified_utf7
from tests.corpus.mailbox_writer import Writer, snapshot_of
from tests.support.maildir import (
    ACCOUNT,
    LossyWatcher,
    folders_on_disk,
    snapshot_of_view,
    source_of,
)
from tests.support.watching import Watching, watching


class Run(NamedTuple):
    """How many changes are made before a start, in each stretch while it is watched, and in each
    of which the kernel loses what happened.
    """

    before: int
    live: list[int]
    lost: list[int]


STEPS = st.integers(1, 12)
RUNS = st.builds(Run, st.integers(0, 12), st.lists(STEPS, max_size=3), st.lists(STEPS, max_size=1))


@pytest.mark.row("F024", part="mail")
@settings(max_examples=40)
@given(seed=st.integers(0, 2**32), runs=st.lists(RUNS, min_size=1, max_size=3))
def test_what_was_sent_folds_to_what_the_tree_holds(seed: int, runs: list[Run]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(live_through(Path(directory), seed, runs))


async def live_through(directory: Path, seed: int, runs: list[Run]) -> None:
    root = directory / "Maildir"
    writer = Writer(root, seed)
    seen = Watching()
    watchers: asyncio.Queue[LossyWatcher] = asyncio.Queue()

    class ThisWatcher(LossyWatcher):
        def __init__(self) -> None:
            super().__init__()
            watchers.put_nowait(self)

    for run in runs:
        use(writer, run.before)
        async with watching(source_of(root, ThisWatcher), directory / "state", seen):
            watcher = await watchers.get()
            for steps in run.live:
                await asyncio.to_thread(use, writer, steps)
                await seen.until(lambda: snapshot_of_view(seen.view) == writer.snapshot())
            for steps in run.lost:
                watcher.loses = True
                await asyncio.to_thread(use, writer, steps)
                await seen.until(lambda: snapshot_of_view(seen.view) == writer.snapshot())
            await seen.until(lambda: agrees(seen, root))
    assert snapshot_of(root) == writer.snapshot()


def use(writer: Writer, steps: int) -> None:
    for _ in range(steps):
        writer.step()


def agrees(seen: Watching, root: Path) -> bool:
    folders = {".".join(map(encode_modified_utf7, path)) for path in seen.view.folders(ACCOUNT)} - {
        "INBOX"
    }
    implied = {
        name.rsplit(".", levels)[0]
        for name in folders_on_disk(root)
        for levels in range(name.count(".") + 1)
    }
    return folders == implied and snapshot_of_view(seen.view) == snapshot_of(root)
