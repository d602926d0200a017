"""Reading outside any group."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import OffsetOutOfRangeError

from streambackup.bus.kafka.connection import (
    REQUEST_LIMIT_S,
    KafkaSettings,
    close_connections,
    connection,
    start_client,
)
from streambackup.bus.kafka.errors import kafka_errors
from streambackup.bus.port import Bounds, Record, TopicPartition
from streambackup.errors import PositionLostError

FETCH_BYTES_MAX = 2 * 1024 * 1024
"""Of one answer. Many partitions with a backlog fill one of any size, and it is held twice."""
LEAVE_LIMIT_S = 5.0


def new_consumer(settings: KafkaSettings, *, group: str | None) -> AIOKafkaConsumer:
    """A consumer whose positions come from us alone."""
    shared = connection(settings)
    if group is not None:
        # Who joins is answered when the others have joined too, or their time is up.
        shared["request_timeout_ms"] = int(join_limit_s(settings) * 1000)
    return AIOKafkaConsumer(
        group_id=group,
        partition_assignment_strategy=(RangePartitionAssignor,),
        session_timeout_ms=settings.session_timeout_ms,
        heartbeat_interval_ms=settings.heartbeat_interval_ms,
        rebalance_timeout_ms=settings.rebalance_timeout_ms,
        enable_auto_commit=False,
        auto_offset_reset="none",
        isolation_level="read_committed",
        fetch_max_bytes=FETCH_BYTES_MAX,
        **shared,
    )


def join_limit_s(settings: KafkaSettings) -> float:
    """How long joining a group may take while others of it are slow or dead."""
    slowest_ms = max(settings.rebalance_timeout_ms, settings.session_timeout_ms)
    return slowest_ms / 1000 + REQUEST_LIMIT_S


async def stop_consumer(client: AIOKafkaConsumer) -> None:
    """Close it.

    While the brokers are away, aiokafka's own ``stop`` ends half-way, cancelled by itself. While
    its group waits for another member it would wait too.
    """
    task = asyncio.current_task()
    assert task is not None
    try:
        async with asyncio.timeout(LEAVE_LIMIT_S):
            await client.stop()
    except (TimeoutError, asyncio.CancelledError):
        await close_connections(client._client)
        if task.cancelling():
            raise


async def bounds_of(
    client: AIOKafkaConsumer, partitions: Collection[TopicPartition]
) -> dict[TopicPartition, Bounds]:
    """What the partitions hold, one request for all."""
    asked = [KafkaPartition(*tp) for tp in partitions]
    begins = await client.beginning_offsets(asked)
    ends = await client.end_offsets(asked)
    return {TopicPartition(*tp): Bounds(begins[tp], ends[tp]) for tp in asked}


class KafkaReader:
    """One consumer for all reading, one reading at a time, connected when first needed."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._turn = asyncio.Lock()
        self._client: AIOKafkaConsumer | None = None

    async def bounds(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Bounds]:
        with kafka_errors("asking for offsets", needs="Describe"):
            async with self._turn:
                return await bounds_of(await self._started(), partitions)

    async def read(self, tp: TopicPartition, offset: int, *, records_max: int) -> Sequence[Record]:
        with kafka_errors(f"reading {tp.topic}", needs="Read"):
            async with self._turn:
                client = await self._started()
                begin, end = (await bounds_of(client, [tp]))[tp]
                if not begin <= offset <= end:
                    raise PositionLostError(tp.topic, tp.partition, offset, begin=begin, end=end)
                return await _read(client, KafkaPartition(*tp), offset, end, records_max)

    async def _started(self) -> AIOKafkaConsumer:
        if self._client is None:
            client = new_consumer(self._settings, group=None)
            try:
                await start_client(client, self._settings)
            except BaseException:
                await stop_consumer(client)
                raise
            self._client = client
        return self._client

    async def close(self) -> None:
        async with self._turn:
            if self._client is not None:
                await stop_consumer(self._client)


async def _read(
    client: AIOKafkaConsumer, tp: KafkaPartition, offset: int, end: int, records_max: int
) -> list[Record]:
    """Records from *offset* until there are enough, or *end*; offsets may have holes."""
    records: list[Record] = []
    client.assign([tp])
    client.seek(tp, offset)
    try:
        async with asyncio.timeout(REQUEST_LIMIT_S) as patience:
            while len(records) < records_max and offset < end:
                missing = records_max - len(records)
                found = await client.getmany(tp, timeout_ms=1000, max_records=missing)
                records += found.get(tp, [])
                offset = await client.position(tp)
                if found:
                    patience.reschedule(asyncio.get_running_loop().time() + REQUEST_LIMIT_S)
    except OffsetOutOfRangeError:
        begin, end = (await bounds_of(client, [TopicPartition(*tp)]))[TopicPartition(*tp)]
        raise PositionLostError(tp.topic, tp.partition, offset, begin=begin, end=end) from None
    finally:
        client.pause(tp)  # nothing is fetched ahead for a reading that is over
    return records
