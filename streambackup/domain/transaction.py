"""Who changed what, and where it stands on the bus."""

from __future__ import annotations

import re

import msgspec

from streambackup.errors import UsageError

SOURCE_PATTERN = r"^[A-Za-z0-9._@-]{1,64}$"
INCARNATION_PATTERN = r"^[0-9a-f]{8,32}$"
_TEXT = re.compile(r"^([A-Za-z0-9._@-]{1,64}):([0-9a-f]{8,32}):(\d{1,18})$")


class TransactionId(msgspec.Struct, frozen=True, array_like=True, order=True, gc=False):
    """Names one transaction of an account for ever; the same when the source sends it again.

    ``sequence`` counts, from 1 and without holes, what ``source`` in this ``incarnation`` sent for
    the account.
    """

    source: str
    incarnation: str
    sequence: int

    def __str__(self) -> str:
        return f"{self.source}:{self.incarnation}:{self.sequence}"

    @classmethod
    def parse(cls, text: str) -> TransactionId:
        """The id that ``str`` printed. Raises UsageError."""
        found = _TEXT.match(text)
        if found is None:
            raise UsageError(
                f"{text!r} is not a transaction id",
                hint="Ids look like source:incarnation:sequence; see 'streambackup item history'.",
            )
        return cls(found[1], found[2], int(found[3]))


class Position(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A record's place: the generation of the topics, the partition and the offset in it."""

    generation: str
    partition: int
    offset: int
