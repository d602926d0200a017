"""Topics and their generation: making them, finding them again,
and refusing those that would lose data.
"""

from __future__ import annotations

import contextlib
import secrets

import msgspec

from streambackup.bus.port import Bus, Outgoing, TopicDescription, TopicPartition, TopicSpec
from streambackup.errors import InvalidEventError, StoreError, TopicError
from streambackup.events.codec import UNDECODABLE, decode_mailbox_event, encode_event
from streambackup.events.config import (
    CONFIG_TOPIC,
    PRIMARY_KEY,
    Generation,
    Primary,
    generations_in,
)
from streambackup.events.mailbox import SCHEMA, Marker, MarkerKind
from streambackup.events.topics import BLOBS, INVENTORY, QUARANTINE, TRANSACTIONS
from streambackup.journal.life import Life
from streambackup.runtime.clock import Clock

DAY_MS = 24 * 3600 * 1000
TRANSACTIONS_RETENTION_MS = 14 * DAY_MS
BLOBS_RETENTION_MS = 7 * DAY_MS
KEEP_FOR_EVER_MS = -1


def topic_specs(partitions: int, *, blob_partitions: int | None = None) -> list[TopicSpec]:
    """The topics of a first generation as they shall be."""
    return [
        TopicSpec(name=TRANSACTIONS, partitions=partitions, retention_ms=TRANSACTIONS_RETENTION_MS),
        TopicSpec(
            name=BLOBS,
            partitions=blob_partitions or partitions,
            retention_ms=BLOBS_RETENTION_MS,
        ),
        TopicSpec(name=INVENTORY, partitions=partitions, retention_ms=TRANSACTIONS_RETENTION_MS),
        TopicSpec(name=QUARANTINE, partitions=partitions, retention_ms=TRANSACTIONS_RETENTION_MS),
        TopicSpec(name=CONFIG_TOPIC, partitions=1, retention_ms=KEEP_FOR_EVER_MS, compacted=True),
    ]


async def create_topics(bus: Bus, partitions: int, clock: Clock) -> tuple[Generation, list[str]]:
    """Make the topics and their first generation; what is there already stays.

    Every partition begins with the generation's marker before the config topic names it, so an
    interrupted call is finished by the next. Returns the generation, and warnings about weak
    settings.

    Raises:
        TopicError: topics of these names exist with another number of partitions.
    """
    warnings = await bus.create(topic_specs(partitions))
    found = await find_generation(bus)
    if found is not None:
        return found, warnings
    begun = await _begun(bus)
    generation = Generation(
        generation=begun or secrets.token_hex(8),
        number=1,
        predecessor=None,
        partitions=partitions,
        blob_partitions=partitions,
        transactions_topic=TRANSACTIONS,
        blobs_topic=BLOBS,
    )
    producer = await bus.producer()
    try:
        await producer.publish(await _missing_markers(bus, generation, clock))
        entry = Outgoing(CONFIG_TOPIC, generation.key, msgspec.json.encode(generation))
        await producer.publish([entry])
    finally:
        await producer.close()
    return generation, warnings


async def _begun(bus: Bus) -> str | None:
    """The generation id that an interrupted creation has written already."""
    for tp, bounds in (await bus.bounds([TRANSACTIONS])).items():
        if bounds.begin == 0 < bounds.end:
            for record in await bus.read(tp, 0, records_max=1):
                with contextlib.suppress(InvalidEventError):
                    event = decode_mailbox_event(record.value)
                    if isinstance(event, Marker) and event.kind is MarkerKind.GENERATION_BEGIN:
                        return event.generation
    return None


async def _missing_markers(bus: Bus, generation: Generation, clock: Clock) -> list[Outgoing]:
    """The first record of each partition of transactions that is still empty."""
    marker = Marker(
        schema=SCHEMA,
        generation=generation.generation,
        kind=MarkerKind.GENERATION_BEGIN,
        time_ms=clock.now_ms(),
    )
    bounds = await bus.bounds([TRANSACTIONS])
    return [
        Outgoing(TRANSACTIONS, None, encode_event(marker), tp.partition)
        for tp in sorted(bounds)
        if bounds[tp].end == 0
    ]


async def find_generation(bus: Bus) -> Generation | None:
    """The open generation; None where no topics were created.

    Raises:
        TopicError: the config topic holds what is no generation.
    """
    if TopicPartition(CONFIG_TOPIC, 0) not in await _config_bounds(bus):
        return None
    try:
        listed = generations_in(await bus.latest(CONFIG_TOPIC))
    except UNDECODABLE as error:
        raise TopicError(f"{CONFIG_TOPIC} holds an entry that is no generation: {error}") from error
    return next((found for found in reversed(listed) if found.state == "open"), None)


async def _config_bounds(bus: Bus) -> dict[TopicPartition, object]:
    try:
        return dict(await bus.bounds([CONFIG_TOPIC]))
    except TopicError:
        return {}


async def open_generation(bus: Bus) -> Generation:
    """The generation to work in, its topics checked.

    Raises:
        TopicError: there is none, or its topics are set up in a way that loses data.
    """
    generation = await find_generation(bus)
    if generation is None:
        raise TopicError(
            "the topics do not exist yet", hint="Create them: streambackup topic create"
        )
    for description in await describe_topics(bus, generation):
        if description.faults:
            raise TopicError(
                f"topic {description.name}: {description.faults[0]}",
                hint="'streambackup topic describe' shows all settings.",
            )
    return generation


async def describe_topics(bus: Bus, generation: Generation) -> list[TopicDescription]:
    """The generation's topics as they are, held against what they shall be."""
    specs = topic_specs(generation.partitions, blob_partitions=generation.blob_partitions)
    return await bus.describe(specs)


async def claim_primary(bus: Bus, store: str) -> str:
    """The primary store, which is *store* where none was named.

    Of stores that claim it at the same time, the first in the topic is it. The topic keeps the last
    entry for ever, so whoever comes too late repeats the first.

    Raises:
        TopicError: the config topic holds what is no primary.
    """
    primary = await primary_store(bus)
    if primary is None:
        await _name_primary(bus, store)
        primary = await primary_store(bus) or store
        if primary != store:
            await _name_primary(bus, primary)
    return primary


async def primary_store(bus: Bus) -> str | None:
    """The store that was named first since none was.

    Raises:
        TopicError: the config topic holds what is no primary.
    """
    partition = TopicPartition(CONFIG_TOPIC, 0)
    begin, end = (await bus.bounds([CONFIG_TOPIC]))[partition]
    found: bytes | None = None
    for record in await bus.read(partition, begin, records_max=end - begin):
        if record.key == PRIMARY_KEY:
            found = found or record.value if record.value else None
    if found is None:
        return None
    try:
        return msgspec.json.decode(found, type=Primary).store
    except UNDECODABLE as error:
        raise TopicError(f"{CONFIG_TOPIC} holds an entry that is no primary: {error}") from error


def replica_error(store: str, primary: str) -> StoreError:
    """What whoever wants to publish on behalf of a replica gets."""
    return StoreError(
        f"store {store} is a replica of store {primary}: it publishes nothing",
        hint="Sources and 'publish' belong to the primary store; run this one with "
        "--role account --role blob.",
    )


async def _name_primary(bus: Bus, store: str) -> None:
    producer = await bus.producer()
    try:
        primary = msgspec.json.encode(Primary(store))
        await producer.publish([Outgoing(CONFIG_TOPIC, PRIMARY_KEY, primary)])
    finally:
        await producer.close()


def life_of(generation: Generation) -> Life:
    """The generation as a store's journal notes it."""
    return Life(
        generation=generation.generation,
        number=generation.number,
        predecessor=generation.predecessor,
        partitions=generation.partitions,
        blob_partitions=generation.blob_partitions,
        transactions_topic=generation.transactions_topic,
        blobs_topic=generation.blobs_topic,
    )
