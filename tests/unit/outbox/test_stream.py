"""Producers while one generation follows another: nothing is lost behind an end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from streambackup.bus.generations import entry_of, new_generation, specs_of
from streambackup.bus.port import Outgoing, Placed
from streambackup.errors import BusError, TopicError
from streambackup.events.codec import decode_mailbox_event, encode_event, stamp_of
from streambackup.events.config import Generation
from streambackup.events.mailbox import Put
from streambackup.outbox.outbox import Outbox
from streambackup.outbox.stream import ListedStream, restamped
from streambackup.testing.events import put
from streambackup.testing.memory_bus import MemoryBus, MemoryProducer
from tests.support.manual_clock import ManualClock
from tests.support.observations import message

FIRST = new_generation(1, id="00000000000000aa")
SECOND = new_generation(1, id="00000000000000bb", after=FIRST)
CLOSING = msgspec.structs.replace(FIRST, state="closing", ends=(0,))


class Stream:
    """A bus with two generations, of which the first is open."""

    def __init__(self) -> None:
        self.bus = MemoryBus(clock=ManualClock())

    async def create(self) -> None:
        for generation in (FIRST, SECOND):
            await self.bus.create(specs_of(generation))
        self.say(FIRST)

    def say(self, *entries: Generation) -> None:
        self.bus.publish([entry_of(entry) for entry in entries])

    def switch(self) -> None:
        closed = msgspec.structs.replace(CLOSING, state="closed")
        self.say(closed, SECOND)

    async def items(self, generation: Generation) -> list[tuple[str, str | None]]:
        """Items and stamps of what was published there."""
        ((tp, bounds),) = (await self.bus.bounds([generation.transactions_topic])).items()
        records = await self.bus.read(tp, bounds.begin, records_max=99)
        events = [decode_mailbox_event(record.value) for record in records]
        return [(event.item, event.generation) for event in events if isinstance(event, Put)]


class HeldUpProducer(MemoryProducer):
    """The generation is closed, and the next one opened, ahead of its first transactions."""

    def __init__(self, stream: Stream) -> None:
        super().__init__(stream.bus)
        self._stream = stream
        self._held_up = False

    async def publish(self, records: Sequence[Outgoing]) -> list[Placed]:
        if not self._held_up and records[0].topic == FIRST.transactions_topic:
            self._held_up = True
            self._stream.switch()
        return await super().publish(records)


@pytest.fixture
async def stream() -> Stream:
    stream = Stream()
    await stream.create()
    return stream


@pytest.fixture
def outbox(tmp_path: Path, stream: Stream) -> Iterator[Outbox]:
    outbox = Outbox(
        tmp_path / "state", "mail", HeldUpProducer(stream), stream=ListedStream(stream.bus)
    )
    yield outbox
    outbox.close()


async def test_a_batch_that_came_late_is_sent_again_in_the_next_generation(
    tmp_path: Path, stream: Stream, outbox: Outbox
) -> None:
    await outbox.record([message(tmp_path)])

    assert await outbox.flush() == 1

    assert await stream.items(FIRST) == [("f1/m1", FIRST.generation)]
    assert await stream.items(SECOND) == [("f1/m1", SECOND.generation)]
    assert await outbox.waiting() == 0


async def test_what_waited_through_a_growth_bears_the_stamp_of_where_it_is_sent(
    tmp_path: Path, stream: Stream, outbox: Outbox
) -> None:
    await outbox.record([message(tmp_path)])
    stream.switch()

    await outbox.flush()

    assert await stream.items(FIRST) == []
    assert await stream.items(SECOND) == [("f1/m1", SECOND.generation)]


async def test_a_producer_waits_while_no_generation_is_open(stream: Stream) -> None:
    waits: list[float] = []

    async def pause(wait_s: float) -> None:
        waits.append(wait_s)
        if len(waits) == 3:
            stream.switch()
        await asyncio.sleep(0)

    stream.say(CLOSING)
    topics = await ListedStream(stream.bus, pause=pause).topics()

    assert topics.generation == SECOND.generation
    assert len(waits) == 3


async def test_while_a_generation_closes_nothing_counts_as_published(stream: Stream) -> None:
    followed = ListedStream(stream.bus)
    topics = await followed.topics()
    assert await followed.is_at(topics)

    stream.say(CLOSING)

    assert not await followed.is_at(topics)


async def test_a_prepared_generation_is_not_published_to(stream: Stream) -> None:
    stream.say(msgspec.structs.replace(SECOND, state="preparing"))

    assert (await ListedStream(stream.bus).topics()).generation == FIRST.generation


async def test_who_looks_for_a_stream_that_was_moved_is_told_so(stream: Stream) -> None:
    stream.say(msgspec.structs.replace(CLOSING, state="closed", embedded_in="5" * 32))

    with pytest.raises(TopicError, match="moved to"):
        await ListedStream(stream.bus).topics()


async def test_without_topics_there_is_one_clear_error() -> None:
    with pytest.raises(TopicError, match="do not exist"):
        await ListedStream(MemoryBus(clock=ManualClock())).topics()


async def test_while_the_bus_is_away_a_producer_waits(stream: Stream) -> None:
    class AwayBus(MemoryBus):
        away = 2

        async def latest(self, topic: str) -> dict[bytes, bytes]:
            self.away -= 1
            if self.away >= 0:
                raise BusError("the brokers cannot be reached")
            return await super().latest(topic)

    bus = AwayBus(clock=ManualClock(), broker=stream.bus)

    topics = await ListedStream(bus, pause=lambda _: asyncio.sleep(0)).topics()

    assert topics.generation == FIRST.generation


def test_only_the_stamp_of_an_event_changes() -> None:
    event = put("m", 1, folder="f", flags=["seen"], size=1.0, nested={"z": 1, "a": [None, True]})
    before = encode_event(msgspec.structs.replace(event, generation=FIRST.generation))

    after = restamped(before, SECOND.generation)

    assert stamp_of(after) == SECOND.generation
    assert decode_mailbox_event(restamped(after, FIRST.generation)) == decode_mailbox_event(before)
    assert restamped(after, FIRST.generation) == before
