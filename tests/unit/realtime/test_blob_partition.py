"""What a partition of blobs makes of uploads that repeat, contradict or never end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from streambackup.blobs.compression import CompressionSettings, encode_blob
from streambackup.blobs.index import DigestIndex
from streambackup.blobs.loose import LooseBlobs
from streambackup.domain.digest import digest_of
from streambackup.events.blob import Chunk
from streambackup.events.codec import encode_event
from streambackup.journal.cover import Cover
from streambackup.journal.owner import PartitionOwner, StoreIdentity
from streambackup.journal.payload import Blobs, GivenUp, StoredBlob
from streambackup.journal.segment import PartitionPath
from streambackup.realtime.blob_partition import BlobPartition
from streambackup.realtime.place import Place
from streambackup.runtime.disk import Disk
from streambackup.testing.events import GENERATION
from streambackup.testing.memory_bus import MemoryRecord

CONTENT = b"At one?\r\n"
IDENTITY = StoreIdentity(store="s", node="n", moment_ms=100, ignored_attributes=())


class Settings(msgspec.Struct, frozen=True):
    compression: CompressionSettings = CompressionSettings()
    give_up_bytes: int = 1_000


@pytest.fixture
def partition(tmp_path: Path) -> Iterator[BlobPartition]:
    path = PartitionPath(tmp_path, GENERATION, "mailbox.blobs", 0)
    disk = Disk()
    owner = PartitionOwner(path, disk, IDENTITY, 1, Cover())
    index = DigestIndex(tmp_path / "index.sqlite")
    opened = BlobPartition(
        owner, Place(0, 1, owner.path.generation), index, tmp_path, disk, Settings(), 0
    )
    yield opened
    opened.close()


def chunk(
    offset: int, *, upload: str = "u", at: int = 0, data: bytes = CONTENT, total: int | None = None
) -> MemoryRecord:
    digest = digest_of(data)
    event = Chunk(
        schema=1,
        digest=digest,
        upload=upload,
        offset=at,
        total=len(data) if total is None else total,
        data=data,
    )
    return MemoryRecord(offset, digest.encode(), encode_event(event), 0)


def store(partition: BlobPartition) -> int:
    """Store what is fresh, as the worker does; returns how much that was."""
    fresh = partition.fresh()
    for one in fresh:
        assert one.content is not None
        data = encode_blob(one.content, CompressionSettings())
        partition.writer.store([(one.digest, data)], [])
        stored = StoredBlob(one.digest, one.size, len(data), one.last_offset)
        partition.index.apply([Blobs([stored], [], [], [])], "segment", one.last_offset)
    return len(fresh)


def test_content_that_is_stored_is_only_met_again(partition: BlobPartition) -> None:
    partition.assemble([chunk(0)])
    assert store(partition) == 1

    partition.assemble([chunk(1, upload="again")])

    assert store(partition) == 0
    batch = partition.batch()
    assert batch is not None
    assert [met.offset for met in batch.blobs.met] == [1]


def test_content_published_again_brings_back_a_blob_that_went_missing(
    partition: BlobPartition, tmp_path: Path
) -> None:
    blobs = LooseBlobs(tmp_path)
    partition.assemble([chunk(0)])
    store(partition)
    blobs.path_of(digest_of(CONTENT)).unlink()

    partition.assemble([chunk(1, upload="again")])

    assert store(partition) == 1
    assert blobs.read(digest_of(CONTENT)) == CONTENT


def test_an_upload_given_up_is_told_even_while_another_holds_the_position(
    partition: BlobPartition,
) -> None:
    records = [
        chunk(0, upload="going on", total=100_000),
        chunk(1, upload="lost", data=b"lost", total=5),
    ]
    for number in range(1, 9):
        records.append(chunk(2 * number, upload=f"{number}", data=CONTENT * 20))
        at = number * len(CONTENT)
        records.append(chunk(2 * number + 1, upload="going on", at=at, total=100_000))
    partition.assemble(records[:2])
    partition.assemble(records[2:])
    partition.fresh()

    batch = partition.batch()

    assert batch is not None
    assert batch.position == 0
    assert batch.blobs.given_up == [GivenUp(digest_of(b"lost"), "lost", 1, 4, 5)]
