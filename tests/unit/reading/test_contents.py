"""Whether absent content is still on its way, where its topic was made anew."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from streambackup.domain.digest import digest_of
from streambackup.domain.history import ItemState
from streambackup.domain.transaction import Position
from streambackup.errors import BlobMissingError
from streambackup.events.topics import BLOBS
from streambackup.journal.cover import Cover
from streambackup.journal.frame import FrameKind, LastRecord
from streambackup.journal.life import write_life
from streambackup.journal.owner import PartitionOwner
from streambackup.journal.payload import Blobs, StoredBlob, encode_payload
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


def absent(content: Position | None, published_ms: int = 0) -> ItemState:
    """A state whose content the store does not hold."""
    return ItemState(
        start_ms=0,
        end_ms=None,
        type="message",
        transactions=(),
        state={},
        digest=digest_of(b"absent"),
        size=6,
        content=content,
        published_ms=published_ms,
    )


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
    state = absent(Position(GENERATION, 0, offset) if placed else None, published_ms)

    assert Contents(StoreReader(tmp_path)).standing(state) is standing


def test_content_that_was_stored_and_is_gone_is_not_said_never_to_have_come(tmp_path: Path) -> None:
    make_store(tmp_path)
    write_life(tmp_path, life(), Disk())
    path = PartitionPath(tmp_path, GENERATION, BLOBS, 0)
    owner = PartitionOwner(path, Disk(), identity(), 1, Cover())
    stored = StoredBlob(digest_of(b"absent"), 6, 6, 4)
    owner.append(
        FrameKind.BLOBS, encode_payload(Blobs([stored], [], [], [])), 5, LastRecord(None, 1_000)
    )
    owner.seal()
    other = msgspec.structs.replace(absent(Position(GENERATION, 0, 4)), digest=digest_of(b"other"))
    contents = Contents(StoreReader(tmp_path))

    with pytest.raises(BlobMissingError, match="was stored, and its file is gone"):
        list(contents.pieces(absent(Position(GENERATION, 0, 4))))
    with pytest.raises(BlobMissingError, match="never arrived in the store"):
        list(contents.pieces(other))
