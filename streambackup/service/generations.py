"""Topics and their generation: making them, finding them again,
and refusing those that would lose data.
"""

from __future__ import annotations

import contextlib
import secrets

import msgspec

from streambackup.bus.port import Bus, Outgoing, TopicDescription, TopicPartition, TopicSpec
from streambackup.errors import AccessError, InvalidEventError, StoreError, TopicError
from streambackup.events.codec import UNDECODABLE, decode_mailbox_event, encode_event
from streambackup.events.config import (
    CONFIG_TOPIC,
    PRIMARY_KEY,
    Generation,
    Primary,
    StoreSetup,
    generations_in,
)
from streambackup.events.mailbox import SCHEMA, Marker, MarkerKind
from streambackup.events.topics import BLOBS, INVENTORY, QUARANTINE, TRANSACTIONS
from streambackup.journal.life import Life
from streambackup.metadata.store_config import StoreConfig
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
    listed = await list_generations(bus)
    return next((found for found in reversed(listed) if found.state == "open"), None)


async def list_generations(bus: Bus) -> list[Generation]:
    """Every generation that the config topic names, oldest first; none without that topic.

    Raises:
        TopicError: the config topic holds what is no generation.
    """
    if TopicPartition(CONFIG_TOPIC, 0) not in await _config_bounds(bus):
        return []
    try:
        return generations_in(await bus.latest(CONFIG_TOPIC))
    except UNDECODABLE as error:
        raise TopicError(f"{CONFIG_TOPIC} holds an entry that is no generation: {error}") from error


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


async def claim_primary(bus: Bus, config: StoreConfig) -> str:
    """The primary store, which is that of *config* where none was named.

    Of stores that claim it at the same time, the first in the topic is it. The topic keeps the last
    entry for ever, so whoever comes too late repeats the first. A primary whose setup the topic
    does not tell adds it.

    Raises:
        TopicError: the config topic holds what is no primary.
    """
    ours = Primary(config.store, _setup_of(config))
    primary = await find_primary(bus)
    if primary is None:
        await _name_primary(bus, ours)
        primary = await find_primary(bus) or ours
        if primary.store != ours.store:
            await _name_primary(bus, primary)
    elif primary.store == ours.store and primary.setup is None:
        with contextlib.suppress(AccessError):  # A worker may not; whoever repeats init may.
            await _name_primary(bus, ours)
    return primary.store


def _setup_of(config: StoreConfig) -> StoreSetup:
    return StoreSetup(
        created_ms=config.created_ms,
        moment_ms=config.moment_ms,
        ignored_attributes=config.ignored_attributes,
    )


async def primary_store(bus: Bus) -> str | None:
    """The id of the primary store, as ``find_primary`` finds it."""
    primary = await find_primary(bus)
    return None if primary is None else primary.store


async def find_primary(bus: Bus) -> Primary | None:
    """The store that was named first since none was, with the setup that it told last.

    Raises:
        TopicError: the config topic holds what is no primary.
    """
    partition = TopicPartition(CONFIG_TOPIC, 0)
    begin, end = (await bus.bounds([CONFIG_TOPIC]))[partition]
    found: Primary | None = None
    for record in await bus.read(partition, begin, records_max=end - begin):
        if record.key == PRIMARY_KEY:
            found = _next_primary(found, record.value) if record.value else None
    return found


def _next_primary(before: Primary | None, value: bytes) -> Primary:
    try:
        named = msgspec.json.decode(value, type=Primary)
    except UNDECODABLE as error:
        raise TopicError(f"{CONFIG_TOPIC} holds an entry that is no primary: {error}") from error
    if before is None or (named.store == before.store and named.setup is not None):
        return named
    return before


def replica_error(store: str, primary: str) -> StoreError:
    """What whoever wants to publish on behalf of a replica gets."""
    return StoreError(
        f"store {store} is a replica of store {primary}: it publishes nothing",
        hint="Sources and 'publish' belong to the primary store; run this one with "
        "--role account --role blob.",
    )


async def _name_primary(bus: Bus, primary: Primary) -> None:
    producer = await bus.producer()
    try:
        entry = msgspec.json.encode(primary)
        await producer.publish([Outgoing(CONFIG_TOPIC, PRIMARY_KEY, entry)])
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
