"""``streambackup init``"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Annotated

import msgspec
from cyclopts import Parameter
from cyclopts.validators import Number

from streambackup.cli.common import NOTHING_SAID, Common
from streambackup.cli.render import write_document
from streambackup.errors import NoStoreError, UsageError
from streambackup.metadata.store_config import StoreConfig
from streambackup.runtime.clock import SystemClock
from streambackup.runtime.disk import Disk
from streambackup.service.generations import find_generation, primary_store
from streambackup.service.opening import Stream, open_stream
from streambackup.service.settings import Settings
from streambackup.service.store_home import (
    StoreHome,
    create_store,
    find_store,
    join_store,
    new_store_id,
)
from streambackup.service.wiring import open_bus

DAY_MS = 24 * 3600 * 1000


class Initialised(msgspec.Struct, frozen=True, kw_only=True):
    """The store; ``generation`` None where the topics are still to be created, ``primary`` the
    store that answers for them: where it is another one, this is a replica.
    """

    store: str
    path: str
    state_path: str
    moment_ms: int
    ignored_attributes: tuple[str, ...]
    bus: str
    generation: str | None
    primary: str | None


def init(
    *,
    moment_ms: Annotated[
        int | None,
        Parameter(
            help="Changes of an item within so many ms become one state; 100 unless said, 0 keeps "
            "each.",
            validator=Number(gte=0, lte=DAY_MS),
        ),
    ] = None,
    ignore: Annotated[
        list[str] | None,
        Parameter(help="An attribute that alone makes no new state; may be repeated."),
    ] = None,
    join: Annotated[
        bool, Parameter(help="Let this node work on a store that another one made.")
    ] = False,
    common: Common = NOTHING_SAID,
) -> None:
    """Make a store in the backup path, and its topics where the bus is the embedded one."""
    settings = common.settings()
    common.start_logs(settings)
    if join and (moment_ms is not None or ignore is not None):
        raise UsageError(
            "a store that exists has its moment and ignored attributes already",
            hint="Leave --moment-ms and --ignore out.",
        )
    disk = Disk()
    if join:
        asyncio.run(_expect_topics(settings))
        home = join_store(settings.store, disk=disk)
    else:
        wanted = _wanted(settings, moment_ms, ignore)
        asyncio.run(_expect_topics(settings))
        home = create_store(settings.store, wanted, disk)
    done = _describe(home, settings, asyncio.run(_claim_topics(settings, home)))
    write_document(done, _lines(done), as_json=common.json)


def _wanted(settings: Settings, moment_ms: int | None, ignore: list[str] | None) -> StoreConfig:
    """The store to be made; what was not said is as in the one that is there, or the default."""
    try:
        fixed = find_store(settings.store).config
    except NoStoreError:
        fixed = StoreConfig(store=new_store_id(), created_ms=SystemClock().now_ms())
    return msgspec.structs.replace(
        fixed,
        moment_ms=fixed.moment_ms if moment_ms is None else moment_ms,
        ignored_attributes=fixed.ignored_attributes if ignore is None else tuple(ignore),
    )


async def _expect_topics(settings: Settings) -> None:
    """That the topics, if there are any, can be asked, before anything is made. The embedded bus
    lies in the store itself.
    """
    if settings.bus.kind == "kafka":
        bus = open_bus(settings, SystemClock())
        try:
            if await find_generation(bus) is not None:
                await primary_store(bus)
        finally:
            await bus.close()


async def _claim_topics(settings: Settings, home: StoreHome) -> Stream | None:
    """The topics, for which this store answers from now on, unless another one does; None where
    there are none.
    """
    clock = SystemClock()
    if settings.bus.kind == "kafka":
        bus = open_bus(settings, clock)
        try:
            if await find_generation(bus) is None:
                return None
        finally:
            await bus.close()
    async with open_stream(settings, home, clock) as stream:
        return stream


def _describe(home: StoreHome, settings: Settings, stream: Stream | None) -> Initialised:
    return Initialised(
        store=home.config.store,
        path=str(home.root),
        state_path=str(home.state),
        moment_ms=home.config.moment_ms,
        ignored_attributes=home.config.ignored_attributes,
        bus=settings.bus.kind,
        generation=stream and stream.generation.generation,
        primary=stream and stream.primary,
    )


def _lines(done: Initialised) -> Iterator[str]:
    yield f"store {done.store} is in {done.path}"
    if done.primary not in {None, done.store}:
        yield f"it is a replica of store {done.primary}: it keeps a copy and publishes nothing"
    if done.generation is None:
        yield "next: streambackup topic create, then streambackup run"
    else:
        yield "next: streambackup run"
