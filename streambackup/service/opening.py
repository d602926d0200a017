"""Opening the buses that a store is on."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

from streambackup.bus.port import Bus
from streambackup.errors import StoreError
from streambackup.events.config import Generation
from streambackup.runtime.clock import Clock
from streambackup.service.generations import (
    claim_primary,
    create_topics,
    find_generation,
    open_generation,
)
from streambackup.service.settings import Settings
from streambackup.service.store_home import StoreHome
from streambackup.service.wiring import BUS_FOLDER, EMBEDDED_PARTITIONS, embedded_bus, open_bus


class Stream(NamedTuple):
    """The bus, its open generation, and the store that answers for it: any other is a replica."""

    bus: Bus
    generation: Generation
    primary: str


@contextlib.asynccontextmanager
async def open_stream(settings: Settings, home: StoreHome, clock: Clock) -> AsyncIterator[Stream]:
    """The bus and its open generation; the store is the primary from now on where none was.

    The embedded bus makes its own topics.

    Raises:
        StoreError: the embedded bus is another store's.
    """
    bus = open_bus(settings, clock)
    try:
        if settings.bus.kind == "embedded":
            found = await find_generation(bus)
            await create_topics(bus, found.partitions if found else EMBEDDED_PARTITIONS, clock)
        generation = await open_generation(bus)
        primary = await claim_primary(bus, home.config)
        if settings.bus.kind == "embedded" and primary != home.config.store:
            raise StoreError(
                f"the bus in {home.state} belongs to store {primary}, this is store "
                f"{home.config.store}",
                hint="Set store.state_path to the directory that belongs to this store.",
            )
        yield Stream(bus, generation, primary)
    finally:
        await bus.close()


@contextlib.asynccontextmanager
async def open_embedded(
    settings: Settings, state: Path | None, bus: Bus, clock: Clock
) -> AsyncIterator[Bus | None]:
    """The embedded bus in a store's *state* on this node, where it has one: that may be *bus*
    itself, or hold what came before it.
    """
    if settings.bus.kind == "embedded":
        yield bus
    elif state is None or not (state / BUS_FOLDER).is_dir():
        yield None
    else:
        embedded = embedded_bus(state, clock)
        try:
            yield embedded
        finally:
            await embedded.close()
