"""Where a record came from: the name it is called by once it was set aside."""

from __future__ import annotations

import re

import msgspec

from streambackup.domain.transaction import Position
from streambackup.errors import UsageError

_TEXT = re.compile(
    r"^(mailbox\.(?:transactions|blobs))/([0-9a-f]{16})/(\d{1,10})/(\d{1,18})$", re.ASCII
)


class Origin(msgspec.Struct, frozen=True, order=True, gc=False):
    """A record's topic, by the name that the journal has for it, and its place there."""

    topic: str
    generation: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.generation}/{self.partition}/{self.offset}"

    @classmethod
    def of(cls, topic: str, at: Position) -> Origin:
        return cls(topic, at.generation, at.partition, at.offset)

    @classmethod
    def parse(cls, text: str) -> Origin:
        """The origin that ``str`` printed. Raises UsageError."""
        found = _TEXT.match(text)
        if found is None:
            raise UsageError(
                f"{text!r} is not the origin of a record",
                hint="Origins look like topic/generation/partition/offset; "
                "see 'streambackup quarantine list'.",
            )
        return cls(found[1], found[2], int(found[3]), int(found[4]))
