"""Generations on a bus: their topics, and the list of them, as whoever follows it reads it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import msgspec

from streambackup.bus.port import Bus, Outgoing, TopicDescription, TopicPartition, TopicSpec
from streambackup.errors import TopicError
from streambackup.events.codec import UNDECODABLE, encode_event
from streambackup.events.config import CONFIG_TOPIC, Generation, generations_in
from streambackup.events.mailbox import SCHEMA, Marker, MarkerKind
from streambackup.events.topics import BLOBS, INVENTORY, QUARANTINE, TRANSACTIONS, topic_in

DAY_MS = 24 * 3600 * 1000
TRANSACTIONS_RETENTION_MS = 14 * DAY_MS
BLOBS_RETENTION_MS = 7 * DAY_MS
KEEP_FOR_EVER_MS = -1


class GenerationList:
    """What the config topic of *bus* lists. It is read whole only where it has grown since."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._read_to = -1
        self._listed: list[Generation] = []

    async def read(self) -> list[Generation]:
        """All generations, oldest first; none where no topics were created.

        What was listed before this is called is seen.

        Raises:
            TopicError: the topic holds what is no generation. BusError: the bus cannot be asked.
        """
        end = await self._end()
        if end is None:
            return []
        if end != self._read_to:
            try:
                self._listed = generations_in(await self._bus.latest(CONFIG_TOPIC))
            except UNDECODABLE as error:
                raise TopicError(
                    f"{CONFIG_TOPIC} holds an entry that is no generation: {error}"
                ) from error
            self._read_to = end
        return self._listed

    async def _end(self) -> int | None:
        """The next offset of the topic; None where there is none."""
        try:
            bounds = await self._bus.bounds([CONFIG_TOPIC])
        except TopicError:
            return None
        partition = TopicPartition(CONFIG_TOPIC, 0)
        return bounds[partition].end if partition in bounds else None


def specs_of(generation: Generation) -> list[TopicSpec]:
    """The topics of *generation*, and the one that lists it, as they shall be."""
    names = (
        generation.transactions_topic,
        generation.inventory_topic,
        generation.quarantine_topic,
    )
    co_partitioned = [
        TopicSpec(
            name=name, partitions=generation.partitions, retention_ms=TRANSACTIONS_RETENTION_MS
        )
        for name in names
    ]
    return [
        *co_partitioned,
        TopicSpec(
            name=generation.blobs_topic,
            partitions=generation.blob_partitions,
            retention_ms=BLOBS_RETENTION_MS,
        ),
        TopicSpec(name=CONFIG_TOPIC, partitions=1, retention_ms=KEEP_FOR_EVER_MS, compacted=True),
    ]


def draw_id() -> str:
    """An id that no other generation has."""
    return secrets.token_hex(8)


def new_generation(
    partitions: int, *, id: str | None = None, after: Generation | None = None
) -> Generation:
    """The generation that follows *after*, or the first one, as it is listed when it is open."""
    number = 1 if after is None else after.number + 1
    return Generation(
        generation=id or draw_id(),
        number=number,
        predecessor=None if after is None else after.generation,
        partitions=partitions,
        blob_partitions=partitions,
        transactions_topic=topic_in(TRANSACTIONS, number),
        blobs_topic=topic_in(BLOBS, number),
        inventory_topic=topic_in(INVENTORY, number),
        quarantine_topic=topic_in(QUARANTINE, number),
    )


def entry_of(generation: Generation) -> Outgoing:
    """What lists *generation*."""
    return Outgoing(CONFIG_TOPIC, generation.key, msgspec.json.encode(generation))


def marker_of(generation: Generation, kind: MarkerKind, now_ms: int) -> Marker:
    """A marker that ends or begins *generation* in a partition."""
    return Marker(schema=SCHEMA, generation=generation.generation, kind=kind, time_ms=now_ms)


async def missing_begins(bus: Bus, generation: Generation, now_ms: int) -> list[Outgoing]:
    """The first record of each partition of transactions that is still empty."""
    value = encode_event(marker_of(generation, MarkerKind.GENERATION_BEGIN, now_ms))
    bounds = await bus.bounds([generation.transactions_topic])
    return [
        Outgoing(tp.topic, None, value, tp.partition)
        for tp in sorted(bounds)
        if bounds[tp].end == 0
    ]


async def describe_topics(bus: Bus, generation: Generation) -> list[TopicDescription]:
    """The generation's topics as they are, held against what they shall be."""
    return await bus.describe(specs_of(generation))


async def consumable(bus: Bus, listed: Sequence[Generation]) -> list[Generation]:
    """Those of *listed* that are not only prepared, and of which the bus still has the topics.

    Raises:
        TopicError: there is none. BusError: the bus cannot be asked.
    """
    found = []
    for one in listed:
        if one.state != "preparing":
            there = one.state == "open" or await has_topics(bus, one)
            found += [one] if there else []
    if not found:
        raise no_topics()
    return found


async def has_topics(bus: Bus, generation: Generation) -> bool:
    """Whether the topics that *generation* keeps its transactions and blobs in still exist."""
    there = {described.name for described in await describe_topics(bus, generation)}
    return {generation.transactions_topic, generation.blobs_topic} <= there


def no_topics() -> TopicError:
    """What whoever needs topics gets where none were created."""
    return TopicError("the topics do not exist yet", hint="Create them: streambackup topic create")
