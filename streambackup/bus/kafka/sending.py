"""One life of aiokafka's producer, which ends with the first failure.

After a failure its sequence numbers may have a hole, and what it still holds it would send without
end, the next answer of ours long given.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import ProducerClosed, UnknownTopicOrPartitionError
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.structs import RecordMetadata

from streambackup.bus.kafka.connection import KafkaSettings, connection, start_client
from streambackup.bus.port import Outgoing

UNLIMITED_BYTES = 1 << 30
UNDER_WAY_BYTES_MAX = 4 * 1024 * 1024  # aiokafka compresses all of it in one step of the loop


class Batch(NamedTuple):
    """The records at *indexes* of what is published, for one partition."""

    topic: str
    partition: int
    indexes: list[int]


class Sending:
    """A started producer, acknowledged by all in-sync replicas, idempotent."""

    def __init__(self, client: AIOKafkaProducer) -> None:
        self._client = client
        self._awaited: set[asyncio.Future[RecordMetadata]] = set()

    @classmethod
    async def start(cls, settings: KafkaSettings) -> Sending:
        client = AIOKafkaProducer(
            acks="all",
            enable_idempotence=True,
            compression_type=None if settings.compression == "none" else settings.compression,
            max_batch_size=UNLIMITED_BYTES,  # batches come in the size that their topic takes
            **connection(settings),
        )
        try:
            await start_client(client, settings)
        except BaseException:
            await client.stop()
            raise
        return cls(client)

    async def send(
        self, records: Sequence[Outgoing], batches: Sequence[Batch], *, now_ms: int
    ) -> list[int]:
        """Send the batches of each partition in their order, one under way while the next is
        built. Returns the offset of the first record of each.
        """
        answers: list[asyncio.Future[RecordMetadata]] = []
        under_way = 0
        try:
            for batch in batches:
                builder = self._client.create_batch()
                for index in batch.indexes:
                    record = records[index]
                    builder.append(timestamp=now_ms, key=record.key, value=record.value)
                assert builder.record_count() == len(batch.indexes)
                under_way += builder.size()
                if under_way > UNDER_WAY_BYTES_MAX:
                    await asyncio.gather(*answers)
                    under_way = builder.size()
                answer = await self._hand_over(builder, batch)
                answers.append(answer)
                self._awaited.add(answer)
                await asyncio.sleep(0)  # no step on the loop is longer than one batch
            return [answer.offset for answer in await asyncio.gather(*answers)]
        finally:
            self._awaited.difference_update(answers)
            for answer in answers:
                _forget(answer)

    async def _hand_over(
        self, builder: BatchBuilder, batch: Batch
    ) -> asyncio.Future[RecordMetadata]:
        if batch.partition not in await self._client.partitions_for(batch.topic):
            raise UnknownTopicOrPartitionError(f"{batch.topic}/{batch.partition}")  # made anew
        answer: asyncio.Future[RecordMetadata] = await self._client.send_batch(
            builder, batch.topic, partition=batch.partition
        )
        return answer

    async def abandon(self) -> None:
        """Close without delivering what is held, which aiokafka's own ``stop`` would do first, for
        ever if need be. Who still awaits an answer gets an error.
        """
        task = self._client._sender.sender_task
        task.cancel()
        await asyncio.wait([task])  # until requests under way are answered or out of time
        held = self._client._message_accumulator
        held._batches.clear()
        held._pending_batches.clear()
        await self._client.stop()
        for answer in self._awaited:
            if not answer.done():
                answer.set_exception(ProducerClosed("another batch failed"))


def _forget(answer: asyncio.Future[RecordMetadata]) -> None:
    """Let nobody be told that nobody looked at it."""
    if not answer.cancel() and not answer.cancelled():
        answer.exception()
