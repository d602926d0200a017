"""``streambackup topic create``"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import groupby
from typing import Annotated

import msgspec
from cyclopts import Parameter
from cyclopts.validators import Number

from streambackup.cli.common import NOTHING_SAID, Common
from streambackup.cli.render import write_document
from streambackup.errors import NoStoreError, UsageError
from streambackup.runtime.clock import SystemClock
from streambackup.service.generations import create_topics
from streambackup.service.rights import Right, acl_command, least_rights
from streambackup.service.settings import Settings
from streambackup.service.store_home import find_store
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
    show_acls: Annotated[
        bool,
        Parameter(help="Create nothing; print the least rights of each role, for kafka-acls.sh."),
    ] = False,
    common: Common = NOTHING_SAID,
) -> None:
    """Create the topics that are missing, and their first generation."""
    settings = common.settings()
    common.start_logs(settings)
    if show_acls:
        rights = _rights(settings)
        write_document(rights, _acl_lines(settings, rights), as_json=common.json)
        return
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


def _rights(settings: Settings) -> list[Right]:
    if settings.bus.kind != "kafka":
        raise UsageError(
            "the embedded bus has no rights: whoever may write its files may use it",
            hint="Set bus.kind to kafka.",
        )
    try:
        return least_rights(find_store(settings.store).config.store)
    except NoStoreError:
        return least_rights(None)


def _acl_lines(settings: Settings, rights: list[Right]) -> Iterator[str]:
    for role, group in groupby(rights, lambda right: right.role):
        yield f"# {role}"
        for right in group:
            yield acl_command(right, settings.bus.kafka.bootstrap_servers)
