"""Loose blobs on a disk that is full, and files that are taken away."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from streambackup.blobs.assembly import HELD_BYTES_MAX, Assembly, Hold
from streambackup.blobs.compression import CompressionSettings
from streambackup.blobs.loose import (
    LooseBlobs,
    LooseWriter,
    TakenAwayError,
    clear_incoming,
    put_in_place,
)
from streambackup.domain.digest import digest_of
from streambackup.errors import NoSpaceError, StoreError
from streambackup.events.blob import Chunk
from streambackup.journal.frame import LastRecord
from streambackup.runtime.disk import Disk
from streambackup.testing.lossy_disk import LossyDisk

CONTENTS = [b"At one?", b"At two!", b"Never.", random.Random(1).randbytes(HELD_BYTES_MAX + 1)]


def upload_of(content: bytes) -> Assembly:
    """A complete one."""
    total = len(content)
    digest = digest_of(content)
    chunk = Chunk(schema=1, digest=digest, upload="u", offset=0, total=total, data=content)
    assembly = Assembly(chunk, 0, Hold(0, LastRecord(None, 0)))
    assembly.add(chunk, 0)
    return assembly


def store(root: Path, disk: Disk, writer: LooseWriter, assemblies: Sequence[Assembly]) -> None:
    for assembly in assemblies:
        assembly.write(writer, CompressionSettings())
    put_in_place(root, disk, [(a.digest, a.path) for a in assemblies if a.path is not None])


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
    disk.count_anew()
    setattr(disk, kind, number)
    assemblies = [upload_of(content) for content in CONTENTS]
    with pytest.raises(NoSpaceError):
        store(root, disk, writer, assemblies)
    for assembly in assemblies:
        assembly.drop(writer)
    disk.make_space()
    writer.close()

    assert LooseBlobs(root).leftovers() == []
    assert list((root / "items" / "incoming").iterdir()) == []


def test_files_that_somebody_took_away_are_an_error_with_its_cure(tmp_path: Path) -> None:
    writer = LooseWriter(tmp_path, "test", Disk())
    assembly = upload_of(b"At one?")
    assembly.write(writer, CompressionSettings())
    assert assembly.path is not None
    clear_incoming(tmp_path, lambda name: name == "test", Disk())

    # Where the file system syncs names, the missing one is noticed before it is renamed.
    with pytest.raises(StoreError, match="was taken away") as error:
        put_in_place(tmp_path, Disk(), [(assembly.digest, assembly.path)])

    assert error.value.hint is not None


class ClearedDisk(Disk):
    """Somebody takes directories away as soon as they are made."""

    def make_directories(self, path: Path) -> list[Path]:
        made = super().make_directories(path)
        path.rmdir()
        return made


def test_a_directory_that_somebody_takes_away_at_once_is_told_alike(tmp_path: Path) -> None:
    with pytest.raises(TakenAwayError, match="was taken away"):
        LooseWriter(tmp_path, "test", ClearedDisk()).open()


def test_only_what_dead_writers_left_is_cleared(tmp_path: Path) -> None:
    dead, alive = LooseWriter(tmp_path, "dead", Disk()), LooseWriter(tmp_path, "alive", Disk())
    dead.open().close()
    kept = alive.open()
    kept.close()

    clear_incoming(tmp_path, lambda name: name == "dead", Disk())

    assert LooseBlobs(tmp_path).leftovers() == [kept.path]
    assert [path.name for path in kept.path.parent.parent.iterdir()] == ["alive"]


class OvertakenDisk(Disk):
    """Somebody puts each file in its place just before it is to be taken away."""

    def __init__(self, place: Path) -> None:
        self._place = place

    def unlink(self, path: Path) -> None:
        path.rename(self._place / path.name)
        super().unlink(path)


def test_files_that_the_old_owner_puts_in_their_place_meanwhile_are_left_to_it(
    tmp_path: Path,
) -> None:
    dead = LooseWriter(tmp_path, "dead", Disk())
    dead.open().close()
    dead.open().close()
    (tmp_path / "place").mkdir()

    clear_incoming(tmp_path, lambda name: name == "dead", OvertakenDisk(tmp_path / "place"))

    assert sorted(path.name for path in (tmp_path / "place").iterdir()) == ["1", "2"]
    assert list((tmp_path / "items" / "incoming").iterdir()) == []


def test_a_directory_that_the_old_owner_leaves_meanwhile_is_cleared(tmp_path: Path) -> None:
    dead = LooseWriter(tmp_path, "dead", Disk())
    file = dead.open()
    file.close()

    def is_dead(name: str) -> bool:
        dead.discard(file.path)
        dead.close()
        return name == "dead"

    clear_incoming(tmp_path, is_dead, Disk())

    assert list((tmp_path / "items" / "incoming").iterdir()) == []
