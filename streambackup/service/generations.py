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
from streambackup.bus.publishing import publish_once
from streambackup.errors import AccessError, InvalidEventError, StoreError, TopicError
from streambackup.events.codec import UNDECODABLE, decode_mailbox_event
from streambackup.events.config import (
    CONFIG_TOPIC,
    PRIMARY_KEY,
    Generation,
    Primary,
    StoreSetup,
    newest,
)
from streambackup.events.mailbox import Marker, MarkerKind
from streambackup.events.topics import TRANSACTIONS
from streambackup.metadata.store_config import StoreConfig
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
    await publish_once(bus, await missing_begins(bus, generation, clock.now_ms()))
    await publish_once(bus, [entry_of(generation)])
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
    entry = msgspec.json.encode(primary)
    await publish_once(bus, [Outgoing(CONFIG_TOPIC, PRIMARY_KEY, entry)])
