"""What a partition of blobs makes of uploads that repeat, contradict or never end."""

from __future__ import annotations

import contextlib
import itertools
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streambackup.blobs.compression import CompressionSettings
from streambackup.blobs.index import DigestIndex
from streambackup.blobs.loose import LooseBlobs, put_in_place
from streambackup.domain.digest import digest_of
from streambackup.events.blob import Chunk, Reference
from streambackup.events.codec import encode_event
from streambackup.journal.cover import Cover
from streambackup.journal.owner import PartitionOwner, StoreIdentity
from streambackup.journal.payload import GivenUp
from streambackup.journal.place import Place
from streambackup.journal.segment import PartitionPath
from streambackup.realtime.blob_partition import BlobPartition
from streambackup.realtime.takeover import last_record
from streambackup.runtime.disk import Disk
from streambackup.testing.events import GENERATION
from streambackup.testing.memory_bus import MemoryRecord

CONTENT = b"At one?\r\n"
IDENTITY = StoreIdentity(store="s", node="n", moment_ms=100, ignored_attributes=())


class Settings(msgspec.Struct, frozen=True):
    compression: CompressionSettings = CompressionSettings()
    give_up_bytes: int = 1_000


@contextlib.contextmanager
def opened(root: Path) -> Iterator[BlobPartition]:
    path = PartitionPath(root, GENERATION, "mailbox.blobs", 0)
    disk = Disk()
    owner = PartitionOwner(path, disk, IDENTITY, 1, Cover())
    index = DigestIndex(root / "index.sqlite")
    place = Place(0, 1, owner.path.generation)
    partition = BlobPartition(owner, place, index, root, disk, Settings(), 0)
    try:
        yield partition
    finally:
        partition.close()


@pytest.fixture
def partition(tmp_path: Path) -> Iterator[BlobPartition]:
    with opened(tmp_path) as partition:
        yield partition


def reference(offset: int) -> MemoryRecord:
    digest = digest_of(CONTENT)
    event = Reference(schema=1, digest=digest, size=len(CONTENT))
    return MemoryRecord(offset, digest.encode(), encode_event(event), 0)


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


def store(partition: BlobPartition, root: Path) -> int:
    """Store what is fresh, as the worker does; returns how much that was."""
    fresh = partition.fresh()
    for one in fresh:
        one.upload.write(partition.writer, CompressionSettings())
        placed = partition.accept(one)
        assert placed is not None
        put_in_place(root, Disk(), [placed])
    batch = partition.batch()
    if batch is not None:
        partition.index.apply([batch.blobs], "segment", batch.position)
    return len(fresh)


def test_content_that_is_stored_is_only_met_again(partition: BlobPartition, tmp_path: Path) -> None:
    partition.assemble([chunk(0)])
    assert store(partition, tmp_path) == 1

    partition.assemble([chunk(1, upload="again")])

    assert partition.fresh() == []
    batch = partition.batch()
    assert batch is not None
    assert [met.offset for met in batch.blobs.met] == [1]


def test_content_published_again_brings_back_a_blob_that_went_missing(
    partition: BlobPartition, tmp_path: Path
) -> None:
    blobs = LooseBlobs(tmp_path)
    partition.assemble([chunk(0)])
    store(partition, tmp_path)
    blobs.path_of(digest_of(CONTENT)).unlink()

    partition.assemble([chunk(1, upload="again")])

    assert store(partition, tmp_path) == 1
    assert blobs.read(digest_of(CONTENT)) == CONTENT


def pieces(upload: str, data: bytes, count: int) -> list[Chunk]:
    """*data* as so many chunks of one upload."""
    edges = [len(data) * number // count for number in range(count + 1)]
    return [
        Chunk(
            schema=1,
            digest=digest_of(data),
            upload=upload,
            offset=begin,
            total=len(data),
            data=data[begin:end],
        )
        for begin, end in itertools.pairwise(edges)
    ]


@given(order=st.lists(st.integers(0, 4), max_size=30), cuts=st.sets(st.integers(0, 30)))
def test_the_position_and_the_record_before_it_are_those_of_a_model(
    order: list[int], cuts: set[int]
) -> None:
    """Uploads of one to three chunks each, in any order, batches that end anywhere."""
    left = {n: pieces(f"{n}", b"upload %d" % n, n % 3 + 1) for n in range(5)}
    records: list[MemoryRecord] = []
    first: dict[int, int] = {}
    with TemporaryDirectory() as directory, opened(Path(directory)) as partition:
        for number in order:
            if not left[number]:
                continue
            event = left[number].pop(0)
            record = MemoryRecord(len(records), event.digest.encode(), encode_event(event), 7)
            records.append(record)
            first.setdefault(number, record.offset)
            partition.assemble([record])
            if record.offset in cuts:
                partition.fresh()
                batch = partition.batch()
                position = min([first[n] for n in first if left[n]], default=len(records))
                assert (batch is None) == (position == partition.owner.position)
                if batch is not None:
                    assert batch.position == position
                    assert batch.last == last_record(records[position - 1])


def test_memory_does_not_grow_while_an_upload_holds_the_position(
    partition: BlobPartition,
) -> None:
    def read(begin: int, end: int) -> int:
        for offset in range(begin, end):
            partition.assemble([reference(offset)])
            partition.batch()
        return tracemalloc.get_traced_memory()[0]

    partition.assemble([chunk(0, total=2 * len(CONTENT))])
    tracemalloc.start()
    try:
        few, many = read(1, 1_000), read(1_000, 6_000)
    finally:
        tracemalloc.stop()

    assert many - few < 50_000


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
