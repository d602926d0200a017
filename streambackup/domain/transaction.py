"""Who changed what, and where it stands on the bus."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec
from msgspec import Meta

from streambackup.errors import UsageError

SOURCE_PATTERN = r"^[A-Za-z0-9._@-]{1,64}$"
INCARNATION_PATTERN = r"^[0-9a-f]{8,32}$"
GENERATION_PATTERN = r"^[0-9a-f]{16}$"
_TEXT = re.compile(r"^([A-Za-z0-9._@-]{1,64}):([0-9a-f]{8,32}):(\d{1,18})$")

Source = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        description="Name of the program or mail store that publishes.",
        extra_json_schema={"pattern": SOURCE_PATTERN},
    ),
]
Incarnation = Annotated[
    str,
    Meta(
        min_length=8,
        max_length=32,
        description="Drawn at random when the source begins to count sequences from 1.",
        extra_json_schema={"pattern": INCARNATION_PATTERN},
    ),
]
Generation = Annotated[
    str,
    Meta(
        min_length=16,
        max_length=16,
        description="Id of one life of the topics.",
        extra_json_schema={"pattern": GENERATION_PATTERN},
    ),
]
"""Patterns are in the JSON Schema and checked by the codec, not by the decoder:
its own cost a microsecond an event.
"""


class TransactionId(msgspec.Struct, frozen=True, array_like=True, order=True, gc=False):
    """Names one transaction of an account for ever; the same when the source sends it again.

    ``sequence`` counts, from 1 and without holes, what ``source`` in this ``incarnation`` sent for
    the account.
    """

    source: Source
    incarnation: Incarnation
    sequence: Annotated[int, Meta(ge=0, le=2**53)]

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

    generation: Generation
    partition: Annotated[int, Meta(ge=0, le=2**31 - 1)]
    offset: Annotated[int, Meta(ge=0, le=2**63 - 1)]
