"""Whether absent content is still on its way, where its topic was made anew."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from streambackup.domain.digest import digest_of
from streambackup.domain.history import ItemState
from streambackup.domain.transaction import Position
from streambackup.events.topics import BLOBS
from streambackup.journal.cover import Cover
from streambackup.journal.life import write_life
from streambackup.journal.owner import PartitionOwner
from streambackup.journal.segment import PartitionPath
from streambackup.reading.contents import Contents, Standing
from streambackup.reading.store_reader import StoreReader
from streambackup.runtime.disk import Disk
from streambackup.testing.events import GENERATION
from streambackup.testing.partition_store import identity, life, make_store

DERIVED = "00000000000000bb"


def journal(root: Path, generation: str, *, end: int, published_ms: int) -> None:
    owner = PartitionOwner(
        PartitionPath(root, generation, BLOBS, 0), Disk(), identity(), 1, Cover()
    )
    owner.append_gap(end, "read", published_ms)
    owner.seal()


@pytest.mark.parametrize("placed", [True, False])
@pytest.mark.parametrize(
    ("offset", "published_ms", "standing"),
    [
        (5, 6_000, Standing.PENDING),  # behind the end of the first life, not of the second
        (2, 4_000, Standing.MISSING),
        (20, 900, Standing.MISSING),  # published before the topic was made anew
    ],
)
def test_content_is_judged_by_the_life_that_journals_its_partition_now(
    tmp_path: Path, placed: bool, offset: int, published_ms: int, standing: Standing
) -> None:
    make_store(tmp_path)
    write_life(tmp_path, life(), Disk())
    follows = life(DERIVED, 2)
    follows = msgspec.structs.replace(follows, predecessor=GENERATION, derived=True)
    write_life(tmp_path, follows, Disk())
    journal(tmp_path, GENERATION, end=10, published_ms=1_000)
    journal(tmp_path, DERIVED, end=3, published_ms=5_000)
    state = ItemState(
        start_ms=0,
        end_ms=None,
        type="message",
        transactions=(),
        state={},
        digest=digest_of(b"absent"),
        size=6,
        content=Position(GENERATION, 0, offset) if placed else None,
        published_ms=published_ms,
    )

    assert Contents(StoreReader(tmp_path)).standing(state) is standing
