"""What stands in ``streambackup.config``, a compacted topic: the generations,
and whose backup is the primary.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from streambackup.events.topics import INVENTORY, QUARANTINE

CONFIG_TOPIC = "streambackup.config"
PRIMARY_KEY = b"primary"
_GENERATION_PREFIX = "generation/"


class Generation(msgspec.Struct, frozen=True, kw_only=True):
    """One life of the topics. Sources publish to the one that is open."""

    generation: str
    number: int
    predecessor: str | None
    partitions: int
    blob_partitions: int
    transactions_topic: str
    blobs_topic: str
    inventory_topic: str = INVENTORY
    quarantine_topic: str = QUARANTINE
    state: Literal["open", "closing", "closed"] = "open"

    @property
    def key(self) -> bytes:
        return f"{_GENERATION_PREFIX}{self.generation}".encode()


class Primary(msgspec.Struct, frozen=True):
    """The store whose workers answer for this cluster."""

    store: str


def generations_in(entries: dict[bytes, bytes]) -> list[Generation]:
    """The generations listed, oldest first; ``codec.UNDECODABLE`` is raised for what is none."""
    found = [
        msgspec.json.decode(value, type=Generation)
        for key, value in entries.items()
        if key.startswith(_GENERATION_PREFIX.encode())
    ]
    return sorted(found, key=lambda generation: generation.number)
