"""A source at work: observed, recorded in a real outbox and sent to a producer that remembers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from streambackup.outbox.content import Topics
from streambackup.outbox.outbox import Outbox
from streambackup.sources.port import Memory, Observation, Source
from streambackup.testing.fixed_stream import FixedStream
from tests.support.mailbox_view import MailboxView
from tests.support.recording_producer import RecordingProducer

NEVER_S = 20
TOPICS = Topics(generation="0123456789abcdef")


class Watching:
    """What has been seen so far: ``view`` and ``batches``, and the producer that got it."""

    def __init__(self) -> None:
        self.view = MailboxView()
        self.producer = RecordingProducer()
        self.batches: list[list[Observation]] = []
        self._read = 0
        self._news = asyncio.Condition()

    async def until(self, holds: Callable[[], object]) -> None:
        """Wait until *holds*, looking after every batch.

        Raises TimeoutError if that never comes.
        """
        async with asyncio.timeout(NEVER_S), self._news:
            await self._news.wait_for(lambda: bool(holds()))

    async def took(self, batch: list[Observation]) -> None:
        events = self.producer.transactions()
        async with self._news:
            self.batches.append(batch)
            self.view.add(events[self._read :])
            self._read = len(events)
            self._news.notify_all()


@contextlib.asynccontextmanager
async def watching(
    source: Source,
    state: Path,
    seen: Watching | None = None,
    *,
    memory: Callable[[Memory], Memory] = lambda memory: memory,
) -> AsyncIterator[Watching]:
    """*source* at work on the outbox in *state* inside the block; goes on with what was *seen*."""
    seen = seen or Watching()
    outbox = Outbox(state, source.name, seen.producer, stream=FixedStream(TOPICS))

    async def work() -> None:
        await outbox.flush()
        async with contextlib.aclosing(source.observe(memory(outbox.memory))) as batches:
            async for batch in batches:
                await outbox.record(batch)
                await outbox.flush()
                await seen.took(batch)

    try:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(work())
            yield seen
            task.cancel()
    finally:
        outbox.close()
