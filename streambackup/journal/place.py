"""Whether a record stands where it belongs: in its topic's life, in the partition of its key."""

from __future__ import annotations

from typing import NamedTuple

from streambackup.bus.port import partition_of
from streambackup.errors import InvalidEventError
from streambackup.journal.life import Life


class Place(NamedTuple):
    """The partition that is read, and how many its topic has.

    Records are stamped with its ``generation``; where its id is ``derived``, with any. Those
    stamped with one of ``strays`` are known to have been sent here by mistake.
    """

    partition: int
    partitions: int
    generation: str
    strays: frozenset[str] = frozenset()
    derived: bool = False

    def is_foreign(self, stamped: str | None) -> bool:
        """Whether a record so stamped may be of another life of the topic.

        Raises:
            InvalidEventError: it is a stray.
        """
        if stamped is None or self.derived or stamped == self.generation:
            return False
        if stamped in self.strays:
            self.check_stamp(stamped)
        return True

    def check_stamp(self, stamped: str | None) -> None:
        """That a record so stamped was meant for this life.

        Raises:
            InvalidEventError: for another; an owner stops ahead of what may begin one, so what it
            took in was sent here by mistake.
        """
        if stamped not in (None, self.generation) and not self.derived:
            raise InvalidEventError(
                f"it was meant for generation {stamped}, this is {self.generation}"
            )

    def check(self, key: bytes, what: str) -> None:
        """That *key* belongs here: whoever asks for *what* looks in the key's partition only.

        Raises:
            InvalidEventError: its producer placed it by another rule.
        """
        wanted = partition_of(key, self.partitions)
        if wanted != self.partition:
            raise InvalidEventError(
                f"partition {self.partition} is not the {what}'s, which is {wanted}: "
                "the producer does not place keys by murmur2"
            )


def place_in(life: Life, partition: int) -> Place:
    """A partition of transactions in *life*."""
    return Place(partition, life.partitions, life.generation, derived=life.derived)
