"""``streambackup topic describe``"""

from __future__ import annotations

import asyncio

from streambackup.bus.generations import describe_topics
from streambackup.bus.port import TopicDescription
from streambackup.cli.common import NOTHING_SAID, Common
from streambackup.cli.render import Column, note, write_list
from streambackup.errors import TopicError
from streambackup.runtime.clock import SystemClock
from streambackup.service.generations import find_generation
from streambackup.service.settings import Settings
from streambackup.service.wiring import open_bus

COLUMNS = [
    Column[TopicDescription]("TOPIC", lambda row: row.name),
    Column[TopicDescription]("PARTITIONS", lambda row: row.partitions),
    Column[TopicDescription]("REPLICAS", lambda row: row.replicas),
    Column[TopicDescription](
        "RECORDS", lambda row: sum(held.end - held.begin for held in row.bounds.values())
    ),
    Column[TopicDescription](
        "SETTINGS", lambda row: " ".join(f"{k}={v}" for k, v in sorted(row.settings.items()))
    ),
]


def topic_describe(*, common: Common = NOTHING_SAID) -> None:
    """Show the topics as they are, and what in them is weak or would lose data."""
    settings = common.settings()
    common.start_logs(settings)
    topics = asyncio.run(_describe(settings))
    write_list(topics, COLUMNS, as_json=common.json)
    for topic in topics:
        for warning in topic.warnings:
            note(f"{topic.name}: {warning}")
    faults = [f"{topic.name}: {fault}" for topic in topics for fault in topic.faults]
    if faults:
        raise TopicError("; ".join(faults), hint="Set it right before the service starts.")


async def _describe(settings: Settings) -> list[TopicDescription]:
    bus = open_bus(settings, SystemClock())
    try:
        generation = await find_generation(bus)
        if generation is None:
            raise TopicError(
                "the topics do not exist yet", hint="Create them: streambackup topic create"
            )
        return await describe_topics(bus, generation)
    finally:
        await bus.close()
