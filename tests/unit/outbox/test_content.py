"""Content on its way to the bus."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from streambackup.bus.port import Placed
from streambackup.domain.digest import digest_of
from streambackup.domain.transaction import Position
from streambackup.errors import BusError
from streambackup.events.blob import CHUNK_BYTES_MAX, Chunk, Reference
from streambackup.events.mailbox import EVENT_BYTES_MAX
from streambackup.outbox.content import BATCH_BYTES_MAX, Topics, publish_content
from streambackup.sources.port import Content
from tests.support.recording_producer import RecordingProducer

TOPICS = Topics(generation="0123456789abcdef", blobs="mailbox.blobs")


def content(path: Path, data: bytes) -> Content:
    path.write_bytes(data)
    return Content(digest_of(data), len(data), path)


async def test_a_big_file_is_streamed_in_bounded_batches(tmp_path: Path) -> None:
    producer = RecordingProducer()
    data = bytes(range(256)) * (100 * 1024) + b"the rest"

    (place,) = await publish_content(producer, [content(tmp_path / "a", data)], topics=TOPICS)

    assert producer.contents() == {digest_of(data): data}
    assert max(producer.calls) <= BATCH_BYTES_MAX + EVENT_BYTES_MAX
    _, last = producer.log[-1]
    assert place is not None
    assert (place.partition, place.offset) == last


async def test_small_files_share_a_call(tmp_path: Path) -> None:
    producer = RecordingProducer()
    files = [content(tmp_path / str(n), str(n).encode()) for n in range(1_500)]

    places = await publish_content(producer, files, topics=TOPICS)

    assert len(producer.calls) == 2
    assert None not in places
    assert len(producer.contents()) == 1_500


async def test_sizes_around_a_chunk_arrive_whole(tmp_path: Path) -> None:
    producer = RecordingProducer()
    sizes = [0, 1, CHUNK_BYTES_MAX - 1, CHUNK_BYTES_MAX, CHUNK_BYTES_MAX + 1, 2 * CHUNK_BYTES_MAX]
    files = [content(tmp_path / str(size), b"x" * size) for size in sizes]

    await publish_content(producer, files, topics=TOPICS)

    assert sorted(map(len, producer.contents().values())) == sizes
    assert [event.offset for event in producer.blob_events() if isinstance(event, Chunk)] == [
        *(0, 0, 0, 0),
        *(0, CHUNK_BYTES_MAX),
        *(0, CHUNK_BYTES_MAX),
    ]


async def test_nothing_of_a_big_file_that_differs_is_sent(tmp_path: Path) -> None:
    producer = RecordingProducer()
    data = b"x" * (3 * CHUNK_BYTES_MAX)
    changed, shorter = content(tmp_path / "a", data + b"1"), content(tmp_path / "b", data + b"2")
    changed.path.write_bytes(data + b"3")
    shorter.path.write_bytes(data)

    places = await publish_content(producer, [changed, shorter], topics=TOPICS)

    assert places == [None, None]
    assert producer.log == []


async def test_a_directory_in_the_place_of_a_file_holds_nothing(tmp_path: Path) -> None:
    places = await publish_content(
        RecordingProducer(), [Content(digest_of(b""), 0, tmp_path)], topics=TOPICS
    )

    assert places == [None]


async def test_the_same_content_again_is_referred_to_at_a_later_place(tmp_path: Path) -> None:
    producer = RecordingProducer()
    files = [content(tmp_path / str(n), b"same") for n in range(3)]

    places = await publish_content(producer, files, topics=TOPICS)
    again = await publish_content(producer, files[:1], topics=TOPICS, known={digest_of(b"same")})

    assert [type(event) for event in producer.blob_events()] == [Chunk, *[Reference] * 3]
    assert [place.offset for place in (*places, *again) if place] == [0, 1, 2, 3]


@settings(max_examples=30)
@given(
    files=st.lists(
        st.sampled_from([b"", b"a", b"b" * CHUNK_BYTES_MAX, b"c" * 5_000_000]), max_size=6
    ),
    failing=st.lists(st.booleans(), max_size=6),
    kept=st.integers(0, 12),
)
def test_however_the_bus_fails_every_file_gets_a_place_where_its_content_is_whole(
    files: list[bytes], failing: list[bool], kept: int
) -> None:
    producer = RecordingProducer()
    producer.failures = [BusError("away") if fails else None for fails in failing]
    producer.kept_of_failed = kept
    with tempfile.TemporaryDirectory() as directory:
        contents = [content(Path(directory, str(n)), data) for n, data in enumerate(files)]

        places = asyncio.run(
            publish_content(producer, contents, topics=TOPICS, pause=lambda _: asyncio.sleep(0))
        )

    for data, place in zip(files, places, strict=True):
        assert place is not None
        assert data == whole_at(producer, place)


def whole_at(producer: RecordingProducer, place: Position) -> bytes | None:
    """The content that an owner of the partition knows whole after the record at *place*,
    whose digest it has.
    """
    log = [
        r for r, p in producer.log if p.partition == place.partition and p.offset <= place.offset
    ]
    before = RecordingProducer()
    before.log = [(record, Placed(0, 0)) for record in log]
    return before.contents().get(before.blob_events()[-1].digest)
