"""Publishing to Kafka in batches of our own making."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from itertools import repeat, zip_longest

from streambackup.bus.kafka.connection import KafkaSettings
from streambackup.bus.kafka.errors import kafka_errors
from streambackup.bus.kafka.sending import Batch, Sending
from streambackup.bus.kafka.topics import KafkaTopics, TopicFacts
from streambackup.bus.port import Outgoing, Placed, place
from streambackup.errors import BusError, TopicError
from streambackup.runtime.clock import Clock

BATCH_BYTES = 960 * 1024  # what a consumer fetches of a partition at once is 1 MiB
RECORD_OVERHEAD_BYTES = 100  # at most, of one record and of the batch around it


class KafkaProducer:
    """Publishes batches of its own making, and begins anew after a failure."""

    def __init__(self, settings: KafkaSettings, clock: Clock, topics: KafkaTopics) -> None:
        self._settings = settings
        self._clock = clock
        self._topics = topics
        self._starting = asyncio.Lock()
        self._sending: Sending | None = None
        self._closed = False

    async def publish(self, records: Sequence[Outgoing]) -> list[Placed]:
        if self._closed:
            raise BusError("the producer is closed")
        if not records:
            return []
        facts = await self._topics.facts({record.topic for record in records})
        batches = await asyncio.to_thread(batches_of, records, facts)
        with kafka_errors("publishing", needs="Write to"):
            async with asyncio.timeout(self._settings.publish_limit_ms / 1000):
                sending = await self._started()
                try:
                    offsets = await sending.send(records, batches, now_ms=self._clock.now_ms())
                except BaseException:
                    self._topics.forget()  # they may not be what they were
                    await self._abandon(sending)
                    raise
        return places_of(batches, offsets)

    async def _started(self) -> Sending:
        async with self._starting:
            if self._sending is None:
                self._sending = await Sending.start(self._settings)
            return self._sending

    async def _abandon(self, sending: Sending) -> None:
        if self._sending is sending:
            self._sending = None
        await sending.abandon()

    async def close(self) -> None:
        self._closed = True
        if self._sending is not None:
            with kafka_errors("closing the producer"):
                await self._abandon(self._sending)


def batches_of(records: Sequence[Outgoing], facts: Mapping[str, TopicFacts]) -> list[Batch]:
    """The records of each partition in batches that its topic takes; first the first one of each
    partition, then the second of each, and so on.

    Raises:
        TopicError: a record is too large for its topic, or names a partition that it has not.
    """
    batches: dict[tuple[str, int], list[Batch]] = {}
    room: dict[tuple[str, int], int] = {}  # of the last batch of each partition
    for index, record in enumerate(records):
        topic = facts[record.topic]
        size = len(record.key or b"") + len(record.value or b"") + RECORD_OVERHEAD_BYTES
        if size > topic.batch_bytes_max:
            raise TopicError(
                f"a record of {size} bytes is more than {record.topic} takes"
                f" ({topic.batch_bytes_max})",
                hint="Raise max.message.bytes of the topic.",
            )
        tp = record.topic, place(record, topic.partitions)
        left = room.get(tp, -1) - size
        if left < 0:
            batches.setdefault(tp, []).append(Batch(*tp, []))
            left = max(min(BATCH_BYTES, topic.batch_bytes_max) - size, 0)
        room[tp] = left
        batches[tp][-1].indexes.append(index)
    turns = zip_longest(*batches.values())
    return [batch for turn in turns for batch in turn if batch is not None]


def places_of(batches: Sequence[Batch], offsets: Sequence[int]) -> list[Placed]:
    """Where each record stands, from the first offset of each batch.

    Raises:
        BusError: a broker took a batch for one it had already and told no place.
    """
    places: dict[int, Placed] = {}
    for batch, first in zip(batches, offsets, strict=True):
        if first < 0:
            raise BusError(f"publishing: the place in {batch.topic} is not known")
        numbers = range(first, first + len(batch.indexes))
        places |= zip(batch.indexes, map(Placed, repeat(batch.partition), numbers), strict=False)
    return [places[index] for index in range(len(places))]
