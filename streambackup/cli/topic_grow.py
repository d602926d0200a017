"""``streambackup topic grow``"""

from __future__ import annotations

import asyncio
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from streambackup.bus.growth import Growing, Grown, Step, look, plan
from streambackup.cli.common import NOTHING_SAID, Common
from streambackup.cli.render import Column, note, write_document, write_list
from streambackup.runtime.clock import SystemClock
from streambackup.service.settings import Settings
from streambackup.service.wiring import open_bus

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
    dry_run: Annotated[bool, Parameter(help="Show what is left to do, and do nothing.")] = False,
    common: Common = NOTHING_SAID,
) -> None:
    """Open a new generation of the topics, with more partitions. May be repeated: one that was
    interrupted goes on where it was.
    """
    settings = common.settings()
    common.start_logs(settings)
    if dry_run:
        write_list(asyncio.run(_plan(settings, partitions)), COLUMNS, as_json=common.json)
        return
    grown = asyncio.run(_grow(settings, partitions))
    lines = [
        f"generation {grown.number} ({grown.generation}) is open with {grown.partitions} partitions"
    ]
    if grown.pause_s is not None:
        lines.append(f"sources paused for {grown.pause_s:.1f} s")
    lines += [f"warning: {warning}" for warning in grown.warnings]
    write_document(grown, lines, as_json=common.json)


async def _plan(settings: Settings, partitions: int) -> list[Step]:
    bus = open_bus(settings, SystemClock())
    try:
        return plan(await look(bus), partitions)
    finally:
        await bus.close()


async def _grow(settings: Settings, partitions: int) -> Grown:
    clock = SystemClock()
    bus = open_bus(settings, clock)
    try:
        growing = Growing(bus, clock)
        return await growing.grow(partitions, lambda step: note(step.what))
    finally:
        await bus.close()
