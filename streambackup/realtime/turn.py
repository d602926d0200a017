"""A worker's turn at a partition: how it begins, why it ends, and who does its work."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol

import msgspec

from streambackup.bus.port import Record, TopicPartition
from streambackup.errors import NoSpaceError, StoreError
from streambackup.journal.life import Life
from streambackup.journal.place import Place
from streambackup.realtime.takeover import Taken


class Turn:
    """This worker's turn at a partition, until it is lost or begins anew."""

    def __init__(self, tp: TopicPartition, taken: Taken) -> None:
        self.tp = tp
        self.owner = taken.owner
        self.life = taken.life
        self.strays = taken.strays
        self.reads_from = taken.owner.position
        """The offset that its next fetch begins at."""

    def place(self, partitions: int) -> Place:
        """Where its records belong, in a topic of so many *partitions*."""
        life = self.life
        return Place(self.tp.partition, partitions, life.generation, self.strays, life.derived)


class Wait(NamedTuple):
    """What a partition without a turn waits for: a time, in seconds of the monotonic clock.

    It waits because of a stamp that was ``foreign``; ``strays`` are those met before. ``why`` says
    what stopped it.
    """

    life: Life
    until_s: float
    foreign: str | None = None
    strays: frozenset[str] = frozenset()
    why: str | None = None


class Outcome(msgspec.Struct, frozen=True):
    """Why a turn has to begin anew: the next record is of another generation, the disk is full, or
    a newer owner of the partition took away what it was about to store. None: its position is gone.
    """

    turn: Turn
    foreign: str | None = None
    full: NoSpaceError | None = None
    superseded: StoreError | None = None

    @property
    def failure(self) -> StoreError | None:
        return self.full or self.superseded


class Handler(Protocol):
    """What a worker does with the records of its partitions."""

    journal_topic: str
    gather_bytes: int
    """What is fetched while a batch is made durable becomes the next one, up to about so many bytes
    of values; with 0 that is one fetch. Worth it where a batch costs much however small it is.
    """
    by_partition: bool
    """Whether ``take`` is given each partition's batch by itself, some at once in threads; or else
    what all have as one batch, and the next when that is durable.
    """

    def began(self, turn: Turn, filed_to: int) -> int:
        """A turn begins. Returns the offset to read from. In a thread."""
        ...

    def take(self, batches: Sequence[tuple[Turn, Sequence[Record]]]) -> list[Outcome]:
        """Make the records of one fetch durable, the positions with them. In a thread.

        Returns an outcome for each turn that is over; the other turns' batches are durable then.
        """
        ...

    async def tick(self, turns: Collection[Turn]) -> list[Outcome]:
        """Between batches: seal and file what is due. Returns outcomes as ``take`` does."""
        ...

    async def ended(self, turns: Collection[Turn], *, drained: bool) -> None:
        """Turns end: seal what is durable; where *drained*, leave nothing for a successor to do."""
        ...
