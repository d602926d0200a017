"""What a source sees, to the bus."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial

from streambackup.errors import NoSpaceError, StreamBackupError
from streambackup.outbox.content import Pause
from streambackup.outbox.outbox import Outbox
from streambackup.runtime.retry import keep_trying
from streambackup.sources.port import Source


async def relay(
    source: Source,
    outbox: Outbox,
    stop: asyncio.Event,
    *,
    observed: Callable[[int], object] = lambda count: None,
    pause: Pause = asyncio.sleep,
) -> None:
    """Send what *outbox* still holds, then everything that *source* observes, until *stop* is set.

    ``observed`` is told the size of every batch that was sent. While the bus is away or the disk is
    full this waits. It may be ended at any moment: what was not sent is sent at the next start.

    Raises:
        SourceError: the mail store cannot be read any more. TopicError: a topic does not exist.
    """

    failed: list[Exception] = []

    async def work() -> None:
        try:
            await _relay_all(source, outbox, observed, pause)
        except Exception as error:
            failed.append(error)

    async with asyncio.TaskGroup() as group:
        tasks = group.create_task(work()), group.create_task(stop.wait())
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
    if failed:
        raise failed[0]


async def _relay_all(
    source: Source, outbox: Outbox, observed: Callable[[int], object], pause: Pause
) -> None:
    async def flush() -> None:
        await keep_trying(outbox.flush, passing=_is_full, what="send observations", pause=pause)

    await flush()
    async with contextlib.aclosing(source.observe(outbox.memory)) as batches:
        async for batch in batches:
            record = partial(outbox.record, batch)
            await keep_trying(record, passing=_is_full, what="record observations", pause=pause)
            await flush()
            observed(len(batch))


def _is_full(error: StreamBackupError) -> bool:
    return isinstance(error, NoSpaceError)
