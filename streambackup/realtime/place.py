"""Whether a record stands where it belongs: under its own key, in the partition of that key."""

from __future__ import annotations

from typing import NamedTuple

from streambackup.bus.port import partition_of
from streambackup.errors import InvalidEventError


class Place(NamedTuple):
    """The partition that is read, and how many its topic has."""

    partition: int
    partitions: int

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
