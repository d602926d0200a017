"""``streambackup topic grow``"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from streambackup.bus.growth import Growing, Grown, Old, Step, look, plan
from streambackup.bus.port import Bus
from streambackup.cli.common import NOTHING_SAID, Common
from streambackup.cli.render import Column, note, write_document, write_list
from streambackup.errors import UsageError
from streambackup.runtime.clock import SystemClock
from streambackup.service.settings import Settings
from streambackup.service.store_home import find_store
from streambackup.service.wiring import embedded_bus, open_bus

COLUMNS = [
    Column[Step]("STEP", lambda row: row.name),
    Column[Step]("WHAT", lambda row: row.what),
]


def topic_grow(
    *,
    partitions: Annotated[
        int,
        Parameter(
            help="Into how many parts accounts are divided from now on.",
            validator=Number(gte=1, lte=10_000),
        ),
    ],
    from_embedded: Annotated[
        bool,
        Parameter(
            help="Move the stream of this node's embedded bus to the brokers of bus.kind kafka."
        ),
    ] = False,
    dry_run: Annotated[bool, Parameter(help="Show what is left to do, and do nothing.")] = False,
    common: Common = NOTHING_SAID,
) -> None:
    """Open a new generation of the topics, with more partitions. May be repeated: one that was
    interrupted goes on where it was.
    """
    settings = common.settings()
    common.start_logs(settings)
    if from_embedded and settings.bus.kind != "kafka":
        raise UsageError("bus.kind is not kafka", hint="Set it to where the stream shall go on.")
    if dry_run:
        steps = asyncio.run(_plan(settings, partitions, from_embedded))
        write_list(steps, COLUMNS, as_json=common.json)
        return
    grown = asyncio.run(_grow(settings, partitions, from_embedded))
    lines = [
        f"generation {grown.number} ({grown.generation}) is open with {grown.partitions} partitions"
    ]
    if grown.pause_s is not None:
        lines.append(f"sources paused for {grown.pause_s:.1f} s")
    lines += [f"warning: {warning}" for warning in grown.warnings]
    write_document(grown, lines, as_json=common.json)


async def _plan(settings: Settings, partitions: int, from_embedded: bool) -> list[Step]:
    async with _buses(settings, from_embedded) as (bus, old):
        return plan(await look(bus, old), partitions)


async def _grow(settings: Settings, partitions: int, from_embedded: bool) -> Grown:
    async with _buses(settings, from_embedded) as (bus, old):
        growing = Growing(bus, SystemClock(), old=old)
        return await growing.grow(partitions, lambda step: note(step.what))


@contextlib.asynccontextmanager
async def _buses(settings: Settings, from_embedded: bool) -> AsyncIterator[tuple[Bus, Old | None]]:
    """The bus to grow on, and where from."""
    clock = SystemClock()
    bus = open_bus(settings, clock)
    try:
        if not from_embedded:
            yield bus, None
            return
        home = find_store(settings.store)
        embedded = embedded_bus(home.state, clock)
        try:
            yield bus, Old(embedded, home.config.store)
        finally:
            await embedded.close()
    finally:
        await bus.close()
