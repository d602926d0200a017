"""Content that is on the bus and not stored yet."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from streambackup.bus.embedded.bus import EmbeddedBus
from streambackup.bus.port import Outgoing, Placed, TopicSpec
from streambackup.domain.digest import digest_of
from streambackup.domain.history import ItemState
from streambackup.domain.transaction import Position, TransactionId
from streambackup.events.blob import Chunk
from streambackup.events.codec import encode_event
from streambackup.events.mailbox import SCHEMA
from streambackup.journal.cover import Cover
from streambackup.journal.life import Life, write_life
from streambackup.journal.owner import PartitionOwner
from streambackup.journal.segment import PartitionPath
from streambackup.metadata.store_config import STORE_FILE, StoreConfig, encode_store_config
from streambackup.reading.store_reader import StoreReader
from streambackup.runtime.clock import SystemClock
from streambackup.runtime.disk import Disk
from streambackup.service.bus_contents import BusContents
from streambackup.testing.partition_store import identity

GENERATION = "00112233aabbccdd"
BLOBS = "mailbox.blobs"
CONTENT = b"hello, world"
DIGEST = digest_of(CONTENT)
LIFE = Life(
    generation=GENERATION,
    number=1,
    predecessor=None,
    partitions=2,
    blob_partitions=2,
    transactions_topic="mailbox.transactions",
    blobs_topic=BLOBS,
)


def chunk(upload: str, offset: int, data: bytes, *, total: int = len(CONTENT)) -> bytes:
    return encode_event(
        Chunk(schema=SCHEMA, digest=DIGEST, upload=upload, offset=offset, total=total, data=data)
    )


class Published:
    """A store that has stored nothing, and a bus that holds *values*."""

    def __init__(self, root: Path, *values: bytes) -> None:
        (root / STORE_FILE).write_bytes(
            encode_store_config(StoreConfig(store="0" * 32, created_ms=0))
        )
        write_life(root, LIFE, Disk())
        self.places: list[Placed] = asyncio.run(self._publish(root / "bus", values))
        bus = EmbeddedBus(root / "bus", clock=SystemClock())
        self.contents = BusContents(StoreReader(root), bus)

    async def _publish(self, folder: Path, values: tuple[bytes, ...]) -> list[Placed]:
        bus = EmbeddedBus(folder, clock=SystemClock())
        await bus.create([TopicSpec(name=BLOBS, partitions=2, retention_ms=-1)])
        producer = await bus.producer()
        places = await producer.publish([Outgoing(BLOBS, DIGEST.encode(), v) for v in values])
        await bus.close()
        return places

    def read(self, *, placed: bool = True) -> bytes | None:
        place = self.places[-1] if self.places else Placed(0, 0)
        state = ItemState(
            start_ms=0,
            end_ms=None,
            type="message",
            transactions=(TransactionId("s", "0" * 8, 1),),
            state={},
            digest=DIGEST,
            size=len(CONTENT),
            content=Position(GENERATION, place.partition, place.offset) if placed else None,
        )
        try:
            return self.contents.read(state)
        finally:
            self.contents.close()


BEGUN, ENDED = chunk("a", 0, CONTENT[:5]), chunk("a", 5, CONTENT[5:])


@pytest.mark.parametrize("placed", [True, False])
def test_content_is_put_together_from_its_chunks(tmp_path: Path, placed: bool) -> None:
    assert Published(tmp_path, BEGUN, ENDED).read(placed=placed) == CONTENT


def test_uploads_that_cross_are_kept_apart(tmp_path: Path) -> None:
    other = chunk("b", 0, b"other")
    assert Published(tmp_path, BEGUN, other, b"rubbish", ENDED).read() == CONTENT


def test_an_upload_begun_anew_counts_from_there(tmp_path: Path) -> None:
    assert Published(tmp_path, BEGUN, BEGUN, ENDED).read() == CONTENT


@pytest.mark.parametrize(
    "values",
    [
        (),
        (BEGUN,),
        (ENDED,),
        (chunk("c", 0, b"x" * 5), chunk("c", 5, b"y" * 7)),
    ],
)
def test_what_is_not_there_whole_is_not_given(tmp_path: Path, values: tuple[bytes, ...]) -> None:
    """No chunk, no end, no beginning, other content than the digest says."""
    assert Published(tmp_path, *values).read() is None


def test_content_of_topics_that_were_made_anew_is_looked_for_in_their_new_life(
    tmp_path: Path,
) -> None:
    """What the first life had read says nothing of what the second holds."""
    published = Published(tmp_path, BEGUN, ENDED)
    partition = published.places[0].partition
    first = PartitionPath(tmp_path, GENERATION, BLOBS, partition)
    owner = PartitionOwner(first, Disk(), identity(), 1, Cover())
    owner.append_gap(10, "read", 1)
    owner.seal()
    derived = "00112233aabbccee"
    follows = msgspec.structs.replace(
        LIFE, generation=derived, number=2, predecessor=GENERATION, derived=True
    )
    write_life(tmp_path, follows, Disk())
    first._replace(generation=derived).directory.mkdir(parents=True)

    assert published.read() == CONTENT
