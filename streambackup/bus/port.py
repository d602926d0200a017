"""The bus: topics of partitions, each an ordered, durable log of records.

Two implementations, one contract (``tests/contract/bus_contract.py``): ``embedded`` (SQLite, one
host) and ``kafka``. Nothing above this room knows which of them it talks to.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from streambackup.errors import TopicError


class TopicPartition(NamedTuple):
    topic: str
    partition: int


class Record(Protocol):
    """One record as read.

    ``timestamp`` is its publish time in ms; ``value`` None is a tombstone.
    """

    @property
    def offset(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def timestamp(self) -> int: ...


Fetched = Mapping[TopicPartition, Sequence[Record]]


class Outgoing(NamedTuple):
    """One record to publish. Without a ``partition`` the key decides (``partition_of``)."""

    topic: str
    key: bytes | None
    value: bytes | None
    partition: int | None = None


class Placed(NamedTuple):
    """Where a published record stands."""

    partition: int
    offset: int


class Bounds(NamedTuple):
    """Offsets a partition holds now: ``begin`` inclusive,
    ``end`` exclusive (the next to be given).
    """

    begin: int
    end: int


class TopicSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A topic as it shall be.

    ``retention_ms`` -1 keeps for ever; ``compacted`` keeps the newest per key.
    """

    name: str
    partitions: int
    retention_ms: int
    compacted: bool = False


class TopicDescription(msgspec.Struct, frozen=True, kw_only=True):
    """A topic as it is.

    ``warnings`` name settings that are weaker than design asks for,
    ``faults`` those that lose data. Where it ``drops_unread`` records, retention does not ask
    whether any group has read them.
    """

    name: str
    partitions: int
    replicas: int
    settings: dict[str, str]
    bounds: dict[int, Bounds]
    drops_unread: bool = False
    warnings: list[str] = []
    faults: list[str] = []


class Producer(Protocol):
    """Publishes batches.

    Closing flushes nothing: what ``publish`` returned for is durable, nothing else is.
    """

    async def publish(self, records: Sequence[Outgoing]) -> list[Placed]:
        """Publish *records*, keeping their order per partition; durable as the bus promises on
        return.

        Returns one place per record, in order. After an error any part of them may be on the bus,
        so the caller repeats all of them; readers drop what they have folded already.

        Raises:
            BusError: not (all) published.
            TopicError: a topic does not exist, has no such partition or refuses a record's size;
                then none was published.
            NoSpaceError: the disk of the embedded bus is full.
        """
        ...

    async def close(self) -> None: ...


class Ownership(Protocol):
    """What a consumer of partitions is told, and asked, when it gains or loses them.

    Errors raised here end the consumer: its next ``fetch`` raises them.
    """

    async def assigned(
        self, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """These partitions are now ours. Returns the offset to read from, one per partition; one
        that is left out is silent until ``seek``.

        Called before any of their records is fetched, by whoever calls ``fetch``. Called again with
        the same partition after it was lost.
        """
        ...

    async def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """These partitions are someone else's once this returns. Must be short: seal what is
        durable, drop the rest.

        May be called at any moment, also while ``assigned`` is still at work on the same ones; what
        that answers then is not used.
        """
        ...


class Consumer(Protocol):
    """Reads the partitions that this process owns in a group.

    The group may take any of them away at any moment; what is said of one that is gone is ignored.
    """

    async def fetch(self, *, records_max: int, wait_ms: int) -> Fetched:
        """The next records of owned, unpaused partitions, in offset order; empty when none came
        within *wait_ms*.

        Offsets rise but need not be contiguous. A record is handed out once per position: reading
        on is implicit.

        Raises:
            PositionLostError: a partition's position is not on the bus; it is paused until
            ``seek``, the others go on.
            BusError: the bus cannot be reached.
        """
        ...

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read on from *offset*; records already fetched and not handed out are dropped."""
        ...

    def pause(self, partitions: Collection[TopicPartition]) -> None: ...

    def resume(self, partitions: Collection[TopicPartition]) -> None: ...

    @property
    def silence_s(self) -> float:
        """Seconds since the group last heard of us; 0 where it does not have to."""
        ...

    async def acknowledge(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        """Tell the bus how far the group is.

        Only lag displays and the embedded bus's retention read it.

        Raises:
            BusError: the bus cannot be reached, or gave a partition to another consumer: then this
            one joins its group again by itself.
        """
        ...

    async def close(self) -> None:
        """Leave the group after ``revoked`` was called for what is owned."""
        ...


class Consumers(Protocol):
    """What those ask for a consumer who do nothing else with a bus."""

    async def consumer(
        self, topics: Collection[str], *, group: str | None, ownership: Ownership
    ) -> Consumer:
        """Join *group* for *topics* (co-partitioned when several). Who reads as no group has all
        partitions until it closes, beside whoever else reads; the bus never hears how far it is.

        Positions come from *ownership*, never from the bus.
        """
        ...


class Bus(Consumers, Protocol):
    async def producer(self) -> Producer: ...

    async def bounds(self, topics: Collection[str]) -> dict[TopicPartition, Bounds]:
        """Begin and end of every partition of *topics*."""
        ...

    async def read(
        self, partition: TopicPartition, offset: int, *, records_max: int
    ) -> Sequence[Record]:
        """Up to *records_max* records at or after *offset*, outside any group; fewer only at the
        end.

        Raises:
            PositionLostError: *offset* is below the beginning or beyond the end of the partition.
        """
        ...

    async def latest(self, topic: str) -> dict[bytes, bytes]:
        """The newest value per key of a compacted topic of one partition;
        tombstoned keys are absent.
        """
        ...

    async def acknowledged(self, group: str) -> dict[TopicPartition, int]:
        """What ``acknowledge`` last said for *group*; empty if it never spoke."""
        ...

    async def create(self, specs: Collection[TopicSpec]) -> list[str]:
        """Create the topics that do not exist yet; returns warnings (fewer replicas than asked and
        the like).

        On return every partition accepts records. An existing topic of the same name is left as it
        is.

        Raises:
            TopicError: it exists with another number of partitions.
        """
        ...

    async def describe(self, specs: Collection[TopicSpec]) -> list[TopicDescription]:
        """The topics as they are, judged by what they shall be;
        one that does not exist is left out.
        """
        ...

    async def close(self) -> None: ...


def partition_of(key: bytes, partitions: int) -> int:
    """Kafka's default placement: murmur2 of the key, made positive, modulo the partition count."""
    return (_murmur2(key) & 0x7FFFFFFF) % partitions


def place(record: Outgoing, partitions: int) -> int:
    """The partition that *record* goes to in a topic of so many.

    Raises:
        TopicError: it names one that the topic does not have.
    """
    if record.partition is None:
        assert record.key is not None, "a record without a key must name its partition"
        return partition_of(record.key, partitions)
    if not 0 <= record.partition < partitions:
        raise TopicError(
            f"{record.topic} has partitions 0 to {partitions - 1}, not {record.partition}"
        )
    return record.partition


@functools.lru_cache(maxsize=65_536)  # account ids come again and again, and this is slow
def _murmur2(data: bytes) -> int:
    """Murmur2 as Kafka's clients compute it (seed 0x9747b28c), 32 bits."""
    length = len(data)
    m = 0x5BD1E995
    mask = 0xFFFFFFFF
    h = 0x9747B28C ^ length
    whole = length & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little")
        k = (k * m) & mask
        k ^= k >> 24
        k = (k * m) & mask
        h = ((h * m) & mask) ^ k
    rest = data[whole:]
    if rest:
        h ^= int.from_bytes(rest, "little")
        h = (h * m) & mask
    h ^= h >> 13
    h = (h * m) & mask
    return h ^ (h >> 15)
