"""Where producers publish, while one generation of the topics follows another.

Whoever publishes transactions asks for the topics ahead of each batch, and behind it whether they
are still the open ones. A batch that was acknowledged by then stands ahead of every end record;
any other is sent again where the stream goes on. So no transaction is lost behind an end, however
long its producer was away between its question and its batch.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

import msgspec
import structlog

from streambackup.bus.generations import GenerationList, no_topics
from streambackup.bus.port import Bus
from streambackup.errors import TopicError
from streambackup.events.codec import decode_mailbox_event, encode_event, stamp_of
from streambackup.events.config import Generation, newest
from streambackup.outbox.content import Pause, Topics, passes
from streambackup.runtime.retry import keep_trying

log = structlog.get_logger()

LOOK_AGAIN_S = 0.25
"""How long a producer waits before it looks again for the next generation."""


class Stream(Protocol):
    """The topics that are open."""

    async def topics(self) -> Topics:
        """Where to publish now; waits while no generation is open, and while the bus is away.

        Raises:
            TopicError: no topics were created, or the stream was moved to another bus.
        """
        ...

    async def is_at(self, topics: Topics) -> bool:
        """Whether *topics* are still open: what was acknowledged before this was called counts."""
        ...


class ListedStream:
    """As the config topic of *bus* lists it."""

    def __init__(self, bus: Bus, *, pause: Pause = asyncio.sleep) -> None:
        self._list = GenerationList(bus)
        self._pause = pause

    async def topics(self) -> Topics:
        waited = False
        while (found := await self._newest()).state != "open":
            if found.state == "closed" and found.embedded_in is not None:
                raise TopicError(
                    "the stream goes on at the brokers that it was moved to",
                    hint="Set bus.kind to kafka, and bus.kafka.bootstrap_servers.",
                )
            if not waited:
                log.info("waiting_for_generation", after=found.number)
            waited = True
            await self._pause(LOOK_AGAIN_S)
        return Topics(
            generation=found.generation,
            transactions=found.transactions_topic,
            blobs=found.blobs_topic,
        )

    async def is_at(self, topics: Topics) -> bool:
        found = await self._newest()
        return found.state == "open" and found.generation == topics.generation

    async def _newest(self) -> Generation:
        listed = await keep_trying(
            self._list.read, passing=passes, what="read the list of generations", pause=self._pause
        )
        found = newest(listed)
        if found is None:
            raise no_topics()
        return found


def restamped(event: bytes, generation: str) -> bytes:
    """An event of ours, encoded for *generation*; all else in it stays."""
    if stamp_of(event) == generation:
        return event
    decoded = decode_mailbox_event(event)
    return encode_event(msgspec.structs.replace(decoded, generation=generation))
