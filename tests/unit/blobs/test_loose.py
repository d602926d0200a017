"""Loose blobs on a disk that is full."""

from __future__ import annotations

from pathlib import Path

import pytest

from streambackup.blobs.loose import LooseBlobs, LooseWriter
from streambackup.domain.digest import digest_of
from streambackup.errors import NoSpaceError
from streambackup.testing.lossy_disk import LossyDisk

SMALL = [b"At one?", b"At two!", b"Never."]


@pytest.mark.parametrize("kind", ["full_at_write", "full_at_sync"])
@pytest.mark.parametrize("number", [1, 2])
def test_a_store_without_space_leaves_nothing_behind(
    tmp_path: Path, kind: str, number: int
) -> None:
    """Tried again and again, it would fill the disk with what nobody needs."""
    root = tmp_path / "store"
    root.mkdir()
    disk = LossyDisk(root)
    writer = LooseWriter(root, "test", disk)
    big = writer.open()
    big.write(b"big")
    big.close()
    disk.count_anew()
    setattr(disk, kind, number)
    with pytest.raises(NoSpaceError):
        writer.store([(digest_of(c), c) for c in SMALL], [(digest_of(b"big"), big.path)])

    assert LooseBlobs(root).leftovers() == []
