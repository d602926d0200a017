"""Whether a record stands where it belongs: in its topic's life, in the partition of its key."""

from __future__ import annotations

from typing import NamedTuple

from streambackup.bus.port import partition_of
from streambackup.errors import InvalidEventError


class Place(NamedTuple):
    """The partition that is read, and how many its topic has.

    Records are stamped with ``generation``; where that is None, with any. Those stamped with one of
    ``strays`` are known to have been sent here by mistake.
    """

    partition: int
    partitions: int
    generation: str | None = None
    strays: frozenset[str] = frozenset()

    def is_foreign(self, stamped: str | None) -> bool:
        """Whether a record so stamped may be of another life of the topic.

        Raises:
            InvalidEventError: it is a stray.
        """
        if stamped is None or self.generation is None or stamped == self.generation:
            return False
        if stamped in self.strays:
            raise InvalidEventError(
                f"it was meant for generation {stamped}, this is {self.generation}"
            )
        return True

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
