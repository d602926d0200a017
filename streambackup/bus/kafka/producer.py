"""Publishing to Kafka in batches of our own making."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import ProducerClosed
from aiokafka.structs import RecordMetadata

from streambackup.bus.kafka.connection import KafkaSettings, connection
from streambackup.bus.kafka.errors import kafka_errors
from streambackup.bus.kafka.topics import KafkaTopics, TopicFacts
from streambackup.bus.port import Outgoing, Placed, TopicPartition, place
from streambackup.errors import BusError, TopicError
from streambackup.runtime.clock import Clock

BATCH_BYTES = 512 * 1024
RECORD_OVERHEAD_BYTES = 100  # at most, of one record and of the batch around it
PUBLISH_LIMIT_S = 30.0  # a partition whose leader died has a new one by then


class _Batch(NamedTuple):
    """The records at *indexes* of what is published, for one partition."""

    tp: TopicPartition
    indexes: list[int]


class KafkaProducer:
    """Acknowledged by all in-sync replicas, idempotent.

    aiokafka's own producer lives from one failure to the next: after one its sequence numbers may
    have a hole, and what it still holds it would send without end.
    """

    def __init__(self, settings: KafkaSettings, clock: Clock, topics: KafkaTopics) -> None:
        self._settings = settings
        self._clock = clock
        self._topics = topics
        self._starting = asyncio.Lock()
        self._client: AIOKafkaProducer | None = None
        self._closed = False

    async def publish(self, records: Sequence[Outgoing]) -> list[Placed]:
        if self._closed:
            raise BusError("the producer is closed")
        if not records:
            return []
        facts = await self._topics.facts({record.topic for record in records})
        batches = list(_in_turns(_batches(records, facts)))
        with kafka_errors("publishing"):
            async with asyncio.timeout(PUBLISH_LIMIT_S):
                client = await self._started()
                try:
                    sent = await self._send(client, records, batches)
                except BaseException:
                    await self._abandon(client)
                    raise
        return _places(sent)

    async def _send(
        self, client: AIOKafkaProducer, records: Sequence[Outgoing], batches: Sequence[_Batch]
    ) -> list[tuple[_Batch, RecordMetadata]]:
        """Hand over one batch per partition at a time; the next is built while one is under way."""
        now_ms = self._clock.now_ms()
        answers: list[asyncio.Future[RecordMetadata]] = []
        try:
            for batch in batches:
                builder = client.create_batch()
                for index in batch.indexes:
                    record = records[index]
                    added = builder.append(timestamp=now_ms, key=record.key, value=record.value)
                    assert added is not None, "the builder takes as much as _batches gives it"
                answers.append(
                    await client.send_batch(builder, batch.tp.topic, partition=batch.tp.partition)
                )
            return list(zip(batches, await asyncio.gather(*answers), strict=True))
        finally:
            for answer in answers:
                answer.cancel()

    async def _started(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._client is None:
                compression = self._settings.compression
                client = AIOKafkaProducer(
                    acks="all",
                    enable_idempotence=True,
                    compression_type=None if compression == "none" else compression,
                    max_batch_size=1 << 30,  # _batches sees to their size
                    **connection(self._settings),
                )
                try:
                    await client.start()
                except BaseException:
                    await client.stop()
                    raise
                self._client = client
            return self._client

    async def _abandon(self, client: AIOKafkaProducer) -> None:
        """Close *client* without delivering what it holds, which its own ``stop`` would do first,
        for ever if need be.
        """
        if self._client is client:
            self._client = None
        self._topics.forget()
        sending = client._sender.sender_task
        sending.cancel()
        try:
            await asyncio.wait([sending])
        finally:
            client._message_accumulator.fail_all(ProducerClosed())
            await client.stop()

    async def close(self) -> None:
        self._closed = True
        if self._client is not None:
            with kafka_errors("closing the producer"):
                await self._abandon(self._client)


def _batches(
    records: Sequence[Outgoing], facts: Mapping[str, TopicFacts]
) -> dict[TopicPartition, list[_Batch]]:
    """The records of each partition in batches that its topic takes.

    Raises:
        TopicError: a record is too large for its topic, or names a partition that it has not.
    """
    batches: dict[TopicPartition, list[_Batch]] = {}
    sizes: dict[TopicPartition, int] = {}
    for index, record in enumerate(records):
        topic = facts[record.topic]
        size = len(record.key or b"") + len(record.value or b"") + RECORD_OVERHEAD_BYTES
        if size > topic.batch_bytes_max:
            raise TopicError(
                f"a record of {size} bytes is more than {record.topic} takes"
                f" ({topic.batch_bytes_max})",
                hint="Raise max.message.bytes of the topic.",
            )
        tp = TopicPartition(record.topic, place(record, topic.partitions))
        fill = sizes.get(tp, BATCH_BYTES) + size
        if fill > min(BATCH_BYTES, topic.batch_bytes_max):
            batches.setdefault(tp, []).append(_Batch(tp, []))
            fill = size
        sizes[tp] = fill
        batches[tp][-1].indexes.append(index)
    return batches


def _in_turns(batches: Mapping[TopicPartition, list[_Batch]]) -> Iterator[_Batch]:
    """The first batch of each partition, then the second of each, and so on."""
    for turn in itertools.zip_longest(*batches.values()):
        yield from (batch for batch in turn if batch is not None)


def _places(sent: Sequence[tuple[_Batch, RecordMetadata]]) -> list[Placed]:
    """Where each record stands.

    Raises:
        BusError: a broker took a batch for one it knew and told no place.
    """
    places = {}
    for batch, answer in sent:
        if answer.offset < 0:
            raise BusError(f"publishing: the place in {batch.tp.topic} is not known")
        for offset, index in enumerate(batch.indexes, start=answer.offset):
            places[index] = Placed(batch.tp.partition, offset)
    return [places[index] for index in range(len(places))]
