"""The outbox: turns observations into transactions, each with one id for ever.

Content is on the bus before anything names it. Then one commit holds the transactions, with their
ids, and what the source wants remembered; what waits is sent in order until the bus has it. Killed
anywhere, the source either sees the difference again or the same transaction is sent again.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from streambackup.bus.port import Outgoing, Producer
from streambackup.domain.transaction import Position, TransactionId
from streambackup.outbox.content import (
    BATCH_BYTES_MAX,
    BATCH_RECORDS_MAX,
    Pause,
    passes,
    publish_content,
)
from streambackup.outbox.database import Database, Said
from streambackup.outbox.draft import Draft, Key, contents_needed
from streambackup.outbox.memory import OutboxMemory
from streambackup.outbox.stream import Stream, restamped
from streambackup.runtime.retry import keep_trying
from streambackup.sources.port import Memory, Observation


class Outbox:
    """What *source* sends, kept in *directory* until the bus has it.

    ``sole_writer`` says that nobody else changes these items: then a state that is as this outbox
    last said it is not sent, and its content only where the digest is another. Otherwise everything
    is sent, with its content.

    Raises:
        StoreBusyError: another process sends for *source*. StoreError: the file cannot be used.
    """

    def __init__(
        self,
        directory: Path,
        source: str,
        producer: Producer,
        *,
        stream: Stream,
        sole_writer: bool = True,
        pause: Pause = asyncio.sleep,
    ) -> None:
        self._database = Database(directory, source)
        self._source = source
        self._producer = producer
        self._stream = stream
        self._sole_writer = sole_writer
        self._pause = pause
        self._recording = asyncio.Lock()
        self._flushing = asyncio.Lock()

    @property
    def memory(self) -> Memory:
        """What the source remembered with the observations recorded so far."""
        return OutboxMemory(self._database)

    async def record(self, observations: Sequence[Observation]) -> list[TransactionId | None]:
        """Make *observations* safe: on return their content is on the bus, and their transactions
        and memory are durable here, for ``flush`` to send.

        Returns their ids, in order; None where nothing is to be sent: only the memory changes, the
        state is as it was said to be, or the content's file is gone or holds something else. In the
        last case its memory is not changed either. May be repeated after any error; while the bus
        is away this waits.

        Raises:
            NoSpaceError: the disk is full. TopicError: a topic does not exist.
            InvalidEventError: an observation is too large for any event.
        """
        async with self._recording:
            topics = await self._stream.topics()
            said = await asyncio.to_thread(self._said, observations)
            needed = contents_needed(observations, said)
            contents = [content for n in needed if (content := observations[n].content)]
            known = await asyncio.to_thread(self._database.digests, [c.digest for c in contents])
            places = await publish_content(
                self._producer, contents, topics=topics, known=known, pause=self._pause
            )
            placed = dict(zip(needed, places, strict=True))
            return await asyncio.to_thread(
                self._commit, observations, said, placed, topics.generation
            )

    def _said(self, observations: Sequence[Observation]) -> dict[Key, Said] | None:
        if not self._sole_writer:
            return None
        items: dict[str, list[str]] = defaultdict(list)
        for observation in observations:
            items[observation.account].append(observation.item)
        return {
            (account, item): said
            for account, names in items.items()
            for item, said in self._database.said(account, names).items()
        }

    def _commit(
        self,
        observations: Sequence[Observation],
        said: dict[Key, Said] | None,
        places: dict[int, Position | None],
        generation: str,
    ) -> list[TransactionId | None]:
        accounts = sorted({observation.account for observation in observations})
        draft = Draft(
            self._source,
            self._database.incarnation,
            generation=generation,
            said=said,
            sequences=self._database.sequences(accounts),
        )
        ids = [draft.add(observation, places.get(n)) for n, observation in enumerate(observations)]
        self._database.apply(draft.changes)
        return ids

    async def flush(self) -> int:
        """Send what waits, in order, and return how much that was once the bus has it all.

        What a killed process had sent already is sent again, byte for byte the same unless a new
        generation was opened; so is what may stand behind the end of the one before.

        Raises:
            TopicError: the topic does not exist.
        """
        async with self._flushing:
            count = 0
            while queued := await asyncio.to_thread(
                self._database.queued, events_max=BATCH_RECORDS_MAX, bytes_max=BATCH_BYTES_MAX
            ):
                topics = await self._stream.topics()
                records = [
                    Outgoing(
                        topics.transactions,
                        q.account.encode(),
                        restamped(q.event, topics.generation),
                    )
                    for q in queued
                ]

                async def publish(records: list[Outgoing] = records) -> None:
                    await self._producer.publish(records)

                await keep_trying(
                    publish, passing=passes, what="publish transactions", pause=self._pause
                )
                if await self._stream.is_at(topics):
                    await asyncio.to_thread(self._database.drop_queued, queued[-1].number)
                    count += len(queued)
            return count

    async def waiting(self) -> int:
        """How many transactions are safe here and not yet on the bus; 0 once closed."""
        return await asyncio.to_thread(self._database.queue_length)

    def close(self) -> None:
        self._database.close()
