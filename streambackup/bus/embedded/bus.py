"""The asynchronous side of the embedded bus: everything that blocks goes to a thread,
a batch at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from streambackup.bus.embedded.folder import TopicFolder
from streambackup.bus.embedded.retention import Limits
from streambackup.bus.embedded.watch import Watch
from streambackup.bus.local_consumer import Found, LocalConsumer
from streambackup.bus.port import (
    Bounds,
    Outgoing,
    Ownership,
    Placed,
    Record,
    TopicDescription,
    TopicPartition,
    TopicSpec,
)
from streambackup.bus.topics import co_partitioned, newest
from streambackup.errors import BusError
from streambackup.runtime.clock import Clock


class EmbeddedBus:
    """Topics in *folder*, one file each. Any process of the host may publish and read; one at a
    time consumes as a given group. The folder must be on a local file system.
    """

    def __init__(self, folder: Path, *, clock: Clock, limits: Limits | None = None) -> None:
        self._folder = TopicFolder(folder, clock=clock, limits=limits or Limits())
        self._consumers: set[LocalConsumer] = set()
        self._held = contextlib.ExitStack()

    async def producer(self) -> EmbeddedProducer:
        return EmbeddedProducer(self._folder, self._consumers)

    async def consumer(
        self, topics: Collection[str], *, group: str | None, ownership: Ownership
    ) -> LocalConsumer:
        """As the port says.

        Raises:
            StoreBusyError: another consumer, here or in another process, reads as *group*.
            TopicError: a topic does not exist, or their partition counts differ.
        """
        partitions = co_partitioned(await asyncio.to_thread(self._folder.partition_counts, topics))
        files = await asyncio.to_thread(self._folder.paths, topics)

        async def look(wanted: Mapping[TopicPartition, int], records_max: int) -> Found:
            return await asyncio.to_thread(self._folder.look, wanted, records_max)

        async def note(next_offsets: Mapping[TopicPartition, int]) -> None:
            if group is not None:
                await asyncio.to_thread(self._folder.acknowledge, group, next_offsets)

        held = self._held.enter_context(contextlib.ExitStack())
        if group is not None:
            held.callback(os.close, self._folder.lock_group(group))
        consumer = LocalConsumer(
            partitions=partitions, ownership=ownership, look=look, note=note, left=held.close
        )
        self._consumers.add(consumer)
        held.callback(self._consumers.discard, consumer)
        held.callback(Watch(files, consumer.news.set).stop)
        try:
            await consumer.join()
        except BaseException:
            held.close()
            raise
        return consumer

    async def bounds(self, topics: Collection[str]) -> dict[TopicPartition, Bounds]:
        return await asyncio.to_thread(self._folder.bounds, topics)

    async def read(
        self, partition: TopicPartition, offset: int, *, records_max: int
    ) -> Sequence[Record]:
        return await asyncio.to_thread(self._folder.read, partition, offset, records_max)

    async def latest(self, topic: str) -> dict[bytes, bytes]:
        partition = TopicPartition(topic, 0)
        begin, end = (await self.bounds([topic]))[partition]
        return newest(await self.read(partition, begin, records_max=end - begin))

    async def acknowledged(self, group: str) -> dict[TopicPartition, int]:
        return await asyncio.to_thread(self._folder.acknowledged, group)

    async def create(self, specs: Collection[TopicSpec]) -> list[str]:
        await asyncio.to_thread(self._folder.create, specs)
        return []

    async def describe(self, specs: Collection[TopicSpec]) -> list[TopicDescription]:
        return await asyncio.to_thread(self._folder.describe, specs)

    async def close(self) -> None:
        """Consumers that were not closed lose their group, without ``revoked``."""
        self._held.close()
        await asyncio.to_thread(self._folder.close)


class EmbeddedProducer:
    """Appends in a thread, one transaction per topic, and wakes who reads in this process."""

    def __init__(self, folder: TopicFolder, consumers: Collection[LocalConsumer]) -> None:
        self._folder = folder
        self._consumers = consumers
        self._closed = False

    async def publish(self, records: Sequence[Outgoing]) -> list[Placed]:
        if self._closed:
            raise BusError("the producer is closed")
        places = await asyncio.to_thread(self._folder.publish, records)
        topics = {record.topic for record in records}
        for consumer in self._consumers:
            if not topics.isdisjoint(consumer.topics):
                consumer.news.set()
        return places

    async def close(self) -> None:
        self._closed = True
