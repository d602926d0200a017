"""Publishing lines: the good ones in order, with their content first; the bad ones by number."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streambackup.domain.digest import digest_of
from streambackup.errors import BusError
from streambackup.events.blob import Chunk, Reference
from streambackup.events.mailbox import Put
from streambackup.outbox.content import Topics
from streambackup.outbox.outbox import Outbox
from streambackup.runtime.clock import SystemClock
from streambackup.service.publish_line import LINE_BYTES_MAX
from streambackup.service.publisher import SOURCE, NumberedLine, Publisher, read_lines
from streambackup.service.wiring import Sender
from streambackup.testing.fixed_stream import FixedStream
from tests.support.recording_producer import RecordingProducer

GENERATION = "00112233aabbccdd"
MAIL = b"Subject: Hi\r\n\r\nhello\r\n"
SHORT: dict[str, Any] = {
    "account": "ann", "item": "1", "type": "message", "state": {"folder": "in"},
    "file": "mail.eml",
}  # fmt: skip
OWN: dict[str, Any] = {
    **SHORT, "event": "put", "source": "mine", "incarnation": "00aa00aa", "sequence": 1,
    "time_ms": 5,
}  # fmt: skip


class Publishing:
    def __init__(self, publisher: Publisher, producer: RecordingProducer) -> None:
        self.publisher = publisher
        self.producer = producer

    async def publish(self, *lines: object) -> list[tuple[int, str | None]]:
        """The error of each line, by number."""
        numbered = [
            NumberedLine(number, line if isinstance(line, bytes) else msgspec.json.encode(line))
            for number, line in enumerate(lines, 1)
        ]
        return [(done.line, done.error) for done in await self.publisher.publish(numbered)]

    def puts(self) -> list[Put]:
        return [event for event in self.producer.transactions() if isinstance(event, Put)]


@contextlib.asynccontextmanager
async def publishing(folder: Path) -> AsyncIterator[Publishing]:
    producer = RecordingProducer()
    stream = FixedStream(Topics(generation=GENERATION))
    outbox = Outbox(folder / "outbox", SOURCE, producer, stream=stream, sole_writer=False)
    try:
        sender = Sender(outbox, producer, stream)
        yield Publishing(Publisher(sender, folder=folder, clock=SystemClock()), producer)
    finally:
        outbox.close()


@pytest.fixture
async def bus(tmp_path: Path) -> AsyncIterator[Publishing]:
    (tmp_path / "mail.eml").write_bytes(MAIL)
    async with publishing(tmp_path) as opened:
        yield opened


async def test_id_digest_size_and_position_are_filled_in(bus: Publishing) -> None:
    assert await bus.publish(SHORT) == [(1, None)]
    (put,) = bus.puts()
    assert (put.source, put.sequence, put.generation) == (SOURCE, 1, GENERATION)
    assert (put.digest, put.size) == (digest_of(MAIL), len(MAIL))
    assert put.content is not None
    assert bus.producer.contents() == {digest_of(MAIL): MAIL}
    topics = [record.topic for record, _ in bus.producer.log]
    assert topics == ["mailbox.blobs", "mailbox.transactions"]


async def test_bad_lines_are_named_and_the_others_go_on_in_order(bus: Publishing) -> None:
    second = {**SHORT, "item": "2"}
    done = await bus.publish(SHORT, b"{", {**OWN, "item": "own"}, {"account": "ann"}, second)
    assert [number for number, error in done if error] == [2, 4]
    assert [put.item for put in bus.puts()] == ["1", "own", "2"]


async def test_whole_events_keep_their_ids_and_get_generation_and_place(bus: Publishing) -> None:
    await bus.publish(OWN)
    (put,) = bus.puts()
    assert (put.source, put.incarnation, put.sequence) == ("mine", "00aa00aa", 1)
    assert (put.generation, put.digest) == (GENERATION, digest_of(MAIL))
    assert put.content is not None


async def test_a_digest_without_file_is_referred_to(bus: Publishing) -> None:
    line = {key: value for key, value in OWN.items() if key != "file"}
    await bus.publish({**line, "digest": digest_of(MAIL), "size": len(MAIL)})
    (reference,) = bus.producer.blob_events()
    assert isinstance(reference, Reference)
    assert bus.puts()[0].content is not None


async def test_lines_published_twice_have_the_content_sent_once(bus: Publishing) -> None:
    await bus.publish(SHORT, {**SHORT, "item": "2"})
    kinds = [type(event) for event in bus.producer.blob_events()]
    assert kinds == [Chunk, Reference]


async def test_while_the_bus_is_away_it_waits(bus: Publishing) -> None:
    bus.producer.failures = [BusError("away"), None, BusError("away")]
    assert await bus.publish(SHORT, OWN) == [(1, None), (2, None)]
    assert len(bus.puts()) == 2


async def test_what_an_interrupted_publish_left_is_sent_with_its_ids(tmp_path: Path) -> None:
    (tmp_path / "mail.eml").write_bytes(MAIL)
    async with publishing(tmp_path) as first:
        first.producer.failures = [None, RuntimeError("killed")]  # type: ignore[list-item]
        with pytest.raises(RuntimeError):
            await first.publish(SHORT)
    async with publishing(tmp_path) as second:
        await second.publish({**SHORT, "item": "2"})
        assert [(put.item, put.sequence) for put in second.puts()] == [("1", 1), ("2", 2)]


def pieces(*data: bytes) -> list[list[tuple[int, bytes]]]:
    remaining = iter(data)
    return [list(batch) for batch in read_lines(lambda size: next(remaining, b""))]


def test_lines_come_as_soon_as_they_are_there() -> None:
    assert pieces(b"a\nb", b"c\n", b"d") == [[(1, b"a")], [(2, b"bc")], [(3, b"d")]]


def test_empty_lines_are_counted_and_left_out() -> None:
    assert pieces(b"\n\na\n \n", b"b\n") == [[(3, b"a")], [(5, b"b")]]


def test_a_line_without_end_is_not_held_whole() -> None:
    size = 1024 * 1024
    ((line, after),) = pieces(*[b"x" * size] * 20, b"\na\n")
    assert line[0] == 1
    assert LINE_BYTES_MAX < len(line[1]) <= LINE_BYTES_MAX + 1
    assert after == (2, b"a")
