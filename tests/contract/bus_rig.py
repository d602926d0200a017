"""What the bus contract needs of each bus, and its words for saying things about them."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from uuid import uuid4

import pytest

from streambackup.bus.port import (
    Bus,
    Consumer,
    Outgoing,
    Placed,
    Record,
    TopicPartition,
    TopicSpec,
)
from streambackup.errors import PositionLostError

LONG_MS = 30_000  # a wait that only a failing test sees the end of
KEEP_MS = 14 * 24 * 3600 * 1000


class Rig(ABC):
    """One bus under test."""

    record_bytes_max: int

    bus: Bus

    @abstractmethod
    async def reopen(self) -> None:
        """Close the bus and open it again, as a restarted process does."""

    @abstractmethod
    async def trim(self, partition: TopicPartition, begin: int) -> None:
        """Drop the records before *begin*, as retention does."""

    async def topic(self, *, partitions: int = 4, compacted: bool = False) -> str:
        """A new topic that no other test knows."""
        name = f"test.{uuid4().hex}"
        await self.bus.create([spec(name, partitions=partitions, compacted=compacted)])
        return name

    async def publish(self, *records: Outgoing) -> list[Placed]:
        producer = await self.bus.producer()
        try:
            return await producer.publish(records)
        finally:
            await producer.close()

    async def consumer(
        self, topic: str, *, group: str = "", owner: Owner | None = None
    ) -> Consumer:
        return await self.bus.consumer(
            [topic], group=group or f"test-{uuid4().hex}", ownership=owner or Owner()
        )


class Owner:
    """Takes everything, from the beginning unless told otherwise."""

    def __init__(self, positions: Mapping[TopicPartition, int] | None = None) -> None:
        self.owned: list[TopicPartition] = []
        self.held: set[TopicPartition] = set()
        """What it owns now."""
        self.revocations: list[list[TopicPartition]] = []
        self._positions = positions or {}

    async def assigned(
        self, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        self.owned += partitions
        self.held |= set(partitions)
        return {tp: self._positions.get(tp, 0) for tp in partitions}

    async def revoked(self, partitions: Collection[TopicPartition]) -> None:
        self.revocations.append(sorted(partitions))
        self.held -= set(partitions)


class RefusedError(Exception):
    pass


class RefusingOwner(Owner):
    async def assigned(
        self, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        raise RefusedError


def spec(name: str, *, partitions: int = 4, compacted: bool = False) -> TopicSpec:
    return TopicSpec(name=name, partitions=partitions, retention_ms=KEEP_MS, compacted=compacted)


def numbered(topic: str, numbers: range, *, partition: int = 0) -> list[Outgoing]:
    return [Outgoing(topic, b"key", b"%d" % number, partition) for number in numbers]


async def fetch_until(
    consumer: Consumer, count: int, *, records_max: int = 1000
) -> dict[TopicPartition, list[Record]]:
    """The next *count* records, by partition."""
    found: dict[TopicPartition, list[Record]] = {}
    async with asyncio.timeout(LONG_MS / 1000):
        while sum(len(records) for records in found.values()) < count:
            fetched = await consumer.fetch(records_max=records_max, wait_ms=1000)
            for tp, records in fetched.items():
                found.setdefault(TopicPartition(*tp), []).extend(records)
    return found


def values(records: Sequence[Record]) -> list[bytes | None]:
    return [record.value for record in records]


async def lost_position(consumer: Consumer) -> PositionLostError:
    """The error of the first fetch that raises it, and nothing handed out before."""
    with pytest.raises(PositionLostError) as caught:
        await fetch_until(consumer, 1)
    return caught.value
