"""Topics and their generation: making them, finding them again,
and refusing those that would lose data.
"""

from __future__ import annotations

import contextlib

import msgspec

from streambackup.bus.generations import (
    GenerationList,
    describe_topics,
    entry_of,
    missing_begins,
    new_generation,
    no_topics,
    specs_of,
)
from streambackup.bus.port import Bus, Outgoing, TopicPartition
from streambackup.errors import InvalidEventError, StoreError, TopicError
from streambackup.events.codec import UNDECODABLE, decode_mailbox_event
from streambackup.events.config import CONFIG_TOPIC, PRIMARY_KEY, Generation, Primary, newest
from streambackup.events.mailbox import Marker, MarkerKind
from streambackup.events.topics import TRANSACTIONS
from streambackup.runtime.clock import Clock


async def create_topics(bus: Bus, partitions: int, clock: Clock) -> tuple[Generation, list[str]]:
    """Make the topics and their first generation; what is there already stays.

    Every partition begins with the generation's marker before the config topic names it, so an
    interrupted call is finished by the next. Returns the generation, and warnings about weak
    settings.

    Raises:
        TopicError: topics of these names exist with another number of partitions.
    """
    found = await find_generation(bus)
    if found is not None:
        wanted = msgspec.structs.replace(found, partitions=partitions, blob_partitions=partitions)
        return found, await bus.create(specs_of(wanted))
    generation = new_generation(partitions)
    warnings = await bus.create(specs_of(generation))
    begun = await _begun(bus)
    generation = msgspec.structs.replace(generation, generation=begun or generation.generation)
    producer = await bus.producer()
    try:
        await producer.publish(await missing_begins(bus, generation, clock.now_ms()))
        await producer.publish([entry_of(generation)])
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


async def find_generation(bus: Bus) -> Generation | None:
    """The generation that is open, or was last; None where no topics were created.

    Raises:
        TopicError: the config topic holds what is no generation.
    """
    return newest(await GenerationList(bus).read())


async def open_generation(bus: Bus) -> Generation:
    """The generation to work in, its topics checked.

    Raises:
        TopicError: there is none, or its topics are set up in a way that loses data.
    """
    generation = await find_generation(bus)
    if generation is None:
        raise no_topics()
    for description in await describe_topics(bus, generation):
        if description.faults:
            raise TopicError(
                f"topic {description.name}: {description.faults[0]}",
                hint="'streambackup topic describe' shows all settings.",
            )
    return generation


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
