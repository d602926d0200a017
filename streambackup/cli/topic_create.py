"""``streambackup topic create``"""

from __future__ import annotations

import asyncio
from typing import Annotated

import msgspec
from cyclopts import Parameter
from cyclopts.validators import Number

from streambackup.cli.common import NOTHING_SAID, Common
from streambackup.cli.render import write_document
from streambackup.runtime.clock import SystemClock
from streambackup.service.generations import create_topics
from streambackup.service.settings import Settings
from streambackup.service.wiring import EMBEDDED_PARTITIONS, KAFKA_PARTITIONS, open_bus


class Created(msgspec.Struct, frozen=True):
    """The open generation of the topics, and what is weaker than it should be."""

    generation: str
    partitions: int
    blob_partitions: int
    warnings: list[str]


def topic_create(
    *,
    partitions: Annotated[
        int | None,
        Parameter(
            help="Into how many parts accounts are divided; 64 unless said, 4 without Kafka.",
            validator=Number(gte=1, lte=10_000),
        ),
    ] = None,
    common: Common = NOTHING_SAID,
) -> None:
    """Create the topics that are missing, and their first generation."""
    settings = common.settings()
    common.start_logs(settings)
    default = KAFKA_PARTITIONS if settings.bus.kind == "kafka" else EMBEDDED_PARTITIONS
    created = asyncio.run(_create(settings, partitions or default))
    lines = [f"generation {created.generation} with {created.partitions} partitions"]
    lines += [f"warning: {warning}" for warning in created.warnings]
    write_document(created, lines, as_json=common.json)


async def _create(settings: Settings, partitions: int) -> Created:
    clock = SystemClock()
    bus = open_bus(settings, clock)
    try:
        found, warnings = await create_topics(bus, partitions, clock)
    finally:
        await bus.close()
    return Created(found.generation, found.partitions, found.blob_partitions, warnings)
