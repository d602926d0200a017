"""A source and its outbox as a part of the service: what was seen is recorded, then sent."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Sequence
from typing import Any

from streambackup.errors import NoSpaceError, StreamBackupError
from streambackup.outbox.outbox import Outbox
from streambackup.runtime.metrics import Metrics
from streambackup.runtime.retry import keep_trying
from streambackup.sources.port import Observation, Source


async def run_source(source: Source, outbox: Outbox, metrics: Metrics, stop: asyncio.Event) -> None:
    """Record and send what *source* sees until *stop*. What is queued then is sent after the next
    start.

    Raises:
        SourceError: none of the source's mail stores can be read.
    """
    await _until(stop, _watch(source, outbox, metrics))


async def _watch(source: Source, outbox: Outbox, metrics: Metrics) -> None:
    await keep_trying(outbox.flush, passing=_is_full, what="send what was queued")
    async with contextlib.aclosing(source.observe(outbox.memory)) as batches:
        async for batch in batches:
            await _record(batch, outbox)
            metrics.observations.labels(source.name).inc(len(batch))
            metrics.outbox_queue.labels(source.name).set(0)


async def _record(batch: Sequence[Observation], outbox: Outbox) -> None:
    """Make *batch* safe and send it; a full disk is waited for."""

    async def attempt() -> None:
        await outbox.record(batch)

    await keep_trying(attempt, passing=_is_full, what="record what a source saw")
    await keep_trying(outbox.flush, passing=_is_full, what="send what a source saw")


def _is_full(error: StreamBackupError) -> bool:
    return isinstance(error, NoSpaceError)


async def _until(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Run *work* until it ends or *stop* is set; it may be cut anywhere, because it repeats
    safely.
    """
    async with asyncio.TaskGroup() as group:
        working = group.create_task(work)
        stopping = group.create_task(stop.wait())
        await asyncio.wait([working, stopping], return_when=asyncio.FIRST_COMPLETED)
        working.cancel()
        stopping.cancel()
