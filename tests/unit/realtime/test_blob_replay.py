"""A digest index made anew from the blob journals."""

from __future__ import annotations

from pathlib import Path

from streambackup.blobs.index import stored_totals
from streambackup.domain.digest import digest_of
from streambackup.journal.cover import Cover
from streambackup.journal.frame import FrameKind, LastRecord
from streambackup.journal.life import write_life
from streambackup.journal.owner import PartitionOwner
from streambackup.journal.payload import Blobs, StoredBlob, encode_payload
from streambackup.journal.segment import PartitionPath
from streambackup.realtime.blob_replay import open_index
from streambackup.runtime.disk import Disk
from streambackup.testing.events import GENERATION
from streambackup.testing.partition_store import identity, life

BEFORE = "0123456789abcdef"
OLD, NEW = digest_of(b"old"), digest_of(b"new")


def stored(path: PartitionPath, digest: str) -> None:
    """The journal of *path* says that *digest* was stored, at offset 0."""
    owner = PartitionOwner(path, Disk(), identity(), 1, Cover())
    payload = encode_payload(Blobs([StoredBlob(digest, 3, 3, 0)], [], [], []))
    owner.append(FrameKind.BLOBS, payload, 1, LastRecord(100, 0))
    owner.seal()


def test_what_was_stored_in_earlier_lives_is_known_to_an_index_made_anew(tmp_path: Path) -> None:
    for number, generation in enumerate([BEFORE, GENERATION], 1):
        write_life(tmp_path, life(generation, number), Disk())
    path = PartitionPath(tmp_path, GENERATION, "mailbox.blobs", 0)
    stored(path._replace(generation=BEFORE), OLD)
    stored(path, NEW)
    stored(path._replace(partition=1), digest_of(b"another partition's"))
    file = tmp_path / "blobs-0.sqlite"

    for _ in range(2):  # Opened again, it counts nothing twice.
        index = open_index(file, path, "mailbox.blobs")
        known = index.known([OLD, NEW])
        index.close()

    assert known == {OLD, NEW}
    assert stored_totals(file) == (2, 6, 6)
