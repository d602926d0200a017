"""Publishing lines: a batch at a time, in order, the bad ones told apart and the good ones sent."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec

from streambackup.bus.port import Outgoing
from streambackup.domain.transaction import Position
from streambackup.errors import InvalidEventError, NoStoreError
from streambackup.events.codec import encode_event
from streambackup.events.mailbox import MailboxEvent, Marker, Put
from streambackup.outbox.content import passes, publish_content
from streambackup.outbox.stream import restamped
from streambackup.runtime.clock import Clock
from streambackup.runtime.retry import keep_trying
from streambackup.service.generations import open_generation, primary_store, replica_error
from streambackup.service.publish_line import LINE_BYTES_MAX, OwnEvent, read_line
from streambackup.service.settings import Settings
from streambackup.service.store_home import find_store
from streambackup.service.wiring import Sender, open_bus, open_outbox
from streambackup.sources.port import Observation

SOURCE = "publish"
READ_BYTES = 1024 * 1024
CHANGED_MEANWHILE = "the file changed or vanished while it was read"


class Published(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of a line: the id of its transaction (a marker has none),
    or why it was refused.
    """

    line: int
    transaction: str | None = None
    error: str | None = None


class NumberedLine(NamedTuple):
    number: int
    text: bytes


class _Ready(NamedTuple):
    number: int
    meaning: Observation | OwnEvent


class Publisher:
    """Publishes lines, which name files in *folder*.

    Short ones get their ids from the sender's outbox.
    """

    def __init__(self, sender: Sender, *, folder: Path, clock: Clock) -> None:
        self._outbox = sender.outbox
        self._producer = sender.producer
        self._stream = sender.stream
        self._folder = folder
        self._clock = clock

    async def publish(self, lines: Sequence[NumberedLine]) -> list[Published]:
        """Publish *lines* in order; on return the bus has the good ones.

        Returns what became of each. While the bus is away this waits. Repeating lines that carry
        ids is harmless; others get new ids, and an equal state again.

        Raises:
            TopicError: the topics do not exist. NoSpaceError, StoreError: the outbox cannot be
            written.
        """
        ready, refused = await asyncio.to_thread(self._read, lines)
        done = list(refused)
        for own, group in itertools.groupby(ready, lambda r: isinstance(r.meaning, OwnEvent)):
            send = self._send_own if own else self._send_observations
            done += await send(list(group))
        return sorted(done, key=lambda published: published.line)

    def _read(self, lines: Sequence[NumberedLine]) -> tuple[list[_Ready], list[Published]]:
        ready, refused = [], []
        for number, text in lines:
            try:
                now_ms = self._clock.now_ms()
                meaning = read_line(text, folder=self._folder, now_ms=now_ms)
            except InvalidEventError as error:
                refused.append(Published(number, error=" ".join(error.message.split())))
            else:
                ready.append(_Ready(number, meaning))
        return ready, refused

    async def _send_observations(self, ready: Sequence[_Ready]) -> list[Published]:
        observations = [r.meaning for r in ready if isinstance(r.meaning, Observation)]
        ids = await self._outbox.record(observations)
        await self._outbox.flush()
        return [
            Published(r.number, transaction=str(id))
            if id
            else Published(r.number, error=CHANGED_MEANWHILE)
            for r, id in zip(ready, ids, strict=True)
        ]

    async def _send_own(self, ready: Sequence[_Ready]) -> list[Published]:
        """Content first, all of it acknowledged, then the events that name it."""
        owns = {r.number: r.meaning for r in ready if isinstance(r.meaning, OwnEvent)}
        contents = {number: own.content for number, own in owns.items() if own.content}
        known = {c.digest for c in contents.values() if c.path == Path()}
        topics = await self._stream.topics()
        placed = await publish_content(
            self._producer, list(contents.values()), topics=topics, known=known
        )
        places = dict(zip(contents, placed, strict=True))
        done, events = [], []
        for number, own in owns.items():
            try:
                event = _completed(own, places.get(number), topics.generation)
                value = encode_event(event)
            except InvalidEventError as error:
                done.append(Published(number, error=error.message))
                continue
            assert event.account is not None
            events.append((event.account.encode(), value))
            done.append(Published(number, transaction=_id_of(own)))
        await self._publish_events(events)
        return done

    async def _publish_events(self, events: Sequence[tuple[bytes, bytes]]) -> None:
        """Publish *events*, each with its key, until they stand ahead of every end record."""
        placed = False
        while not placed:
            topics = await self._stream.topics()
            records = [
                Outgoing(topics.transactions, key, restamped(value, topics.generation))
                for key, value in events
            ]
            publish = partial(self._producer.publish, records)
            await keep_trying(publish, passing=passes, what="publish transactions")
            placed = await self._stream.is_at(topics)


@contextlib.asynccontextmanager
async def open_publisher(
    settings: Settings, *, folder: Path, clock: Clock
) -> AsyncIterator[Publisher]:
    """A publisher on the settings' bus. What an earlier one left in the outbox is sent first.

    Raises:
        StoreError: the settings' store is a replica.
        TopicError: there are no topics. StoreBusyError: another process publishes on this node.
        NoStoreError: there is neither a store nor ``store.state_path`` to keep the outbox in.
    """
    state = settings.store.state_path or find_store(settings.store).state
    bus = open_bus(settings, clock)
    try:
        await open_generation(bus)
        with contextlib.suppress(NoStoreError):
            store = find_store(settings.store).config.store
            primary = await primary_store(bus)
            if primary not in {None, store}:
                raise replica_error(store, primary)
        async with open_outbox(state, SOURCE, bus=bus, sole_writer=False) as sender:
            await sender.outbox.flush()
            yield Publisher(sender, folder=folder, clock=clock)
    finally:
        await bus.close()


def _completed(own: OwnEvent, place: Position | None, generation: str) -> MailboxEvent:
    """The event with what only the publisher knows.

    Raises:
        InvalidEventError: its content did not come to the bus.
    """
    event = msgspec.structs.replace(own.event, generation=generation)
    content = own.content
    if content is None:
        return event
    if place is None:
        raise InvalidEventError(CHANGED_MEANWHILE)
    assert isinstance(event, Put)
    return msgspec.structs.replace(event, digest=content.digest, size=content.size, content=place)


def _id_of(own: OwnEvent) -> str | None:
    event = own.event
    if isinstance(event, Marker):
        return None
    return f"{event.source}:{event.incarnation}:{event.sequence}"


def read_lines(read: Callable[[int], bytes]) -> Iterator[list[NumberedLine]]:
    """The lines that *read* gives, as they come: each batch is what was there at once. Blocking.

    Empty lines are counted and left out; of one that is too long only the beginning is kept.
    """
    number, held = 0, b""
    while piece := read(READ_BYTES):
        *whole, held = (held + piece).split(b"\n")
        batch = []
        for text in whole:
            number += 1
            if text.strip():
                batch.append(NumberedLine(number, text))
        held = held[: LINE_BYTES_MAX + 1]
        if batch:
            yield batch
    if held.strip():
        yield [NumberedLine(number + 1, held)]
