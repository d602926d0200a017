"""Consuming from Kafka: every partition of the topics, at positions that the owner gives."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import cast

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import OffsetOutOfRangeError

from streambackup.bus.kafka.connection import REQUEST_LIMIT_S
from streambackup.bus.kafka.errors import kafka_errors
from streambackup.bus.kafka.reader import bounds_of, stop_consumer
from streambackup.bus.port import Ownership, Record, TopicPartition
from streambackup.errors import PositionLostError

SILENCE_S = 10.0  # aiokafka does not tell that the brokers are away: after this long we ask


class KafkaConsumer:
    """Wraps a started consumer.

    Records are handed out as aiokafka makes them, which is as the port wants them: nothing is done
    per record here.
    """

    def __init__(
        self,
        client: AIOKafkaConsumer,
        *,
        partitions: Collection[TopicPartition],
        ownership: Ownership,
    ) -> None:
        self._client = client
        self._partitions = [KafkaPartition(*tp) for tp in partitions]
        self._ownership = ownership
        self._owned: Sequence[TopicPartition] = ()
        self._paused: set[KafkaPartition] = set()
        self._lost: set[KafkaPartition] = set()
        self._failure: Exception | None = None
        self._heard_s = asyncio.get_running_loop().time()

    async def join(self) -> None:
        """Take the partitions; what the owner objects to, the next ``fetch`` raises."""
        partitions = [TopicPartition(*tp) for tp in self._partitions]
        try:
            positions = await self._ownership.assigned(partitions)
        except Exception as error:  # whatever it is, it reaches the caller of fetch
            self._failure = error
            return
        self._owned = partitions
        self._client.assign(self._partitions)
        for tp in self._partitions:
            self._client.seek(tp, positions[TopicPartition(*tp)])

    async def fetch(
        self, *, records_max: int, wait_ms: int
    ) -> Mapping[TopicPartition, Sequence[Record]]:
        if self._failure is not None:
            raise self._failure
        with kafka_errors("reading", needs="Read"):
            try:
                found = await self._client.getmany(timeout_ms=wait_ms, max_records=records_max)
            except OffsetOutOfRangeError as error:
                raise await self._position_lost(error) from None
            await self._check_silence(heard=bool(found))
        return cast(Mapping[TopicPartition, Sequence[Record]], found)

    async def _position_lost(self, error: OffsetOutOfRangeError) -> PositionLostError:
        ((tp, offset),) = error.args[0].items()
        self._lost.add(tp)
        self._client.pause(tp)  # aiokafka would raise it again and again
        ours = TopicPartition(*tp)
        begin, end = (await bounds_of(self._client, [ours]))[ours]
        return PositionLostError(tp.topic, tp.partition, offset, begin=begin, end=end)

    async def _check_silence(self, *, heard: bool) -> None:
        now_s = asyncio.get_running_loop().time()
        if not heard and now_s - self._heard_s > SILENCE_S:
            async with asyncio.timeout(REQUEST_LIMIT_S):
                await self._client.end_offsets(self._partitions)
            heard = True
        if heard:
            self._heard_s = now_s

    def seek(self, partition: TopicPartition, offset: int) -> None:
        tp = KafkaPartition(*partition)
        self._client.seek(tp, offset)
        self._lost.discard(tp)
        if tp not in self._paused:
            self._client.resume(tp)

    def pause(self, partitions: Collection[TopicPartition]) -> None:
        chosen = [KafkaPartition(*tp) for tp in partitions]
        self._paused.update(chosen)
        self._client.pause(*chosen)

    def resume(self, partitions: Collection[TopicPartition]) -> None:
        chosen = {KafkaPartition(*tp) for tp in partitions}
        self._paused -= chosen
        self._client.resume(*(chosen - self._lost))

    async def acknowledge(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        with kafka_errors("acknowledging", needs="Read"):
            async with asyncio.timeout(REQUEST_LIMIT_S):
                await self._client.commit(
                    {KafkaPartition(*tp): offset for tp, offset in next_offsets.items()}
                )

    async def close(self) -> None:
        owned, self._owned = self._owned, ()
        try:
            if owned:
                await self._ownership.revoked(owned)
        finally:
            with kafka_errors("closing the consumer"):
                await stop_consumer(self._client)
