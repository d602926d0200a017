"""What stands in ``streambackup.config``, a compacted topic: the generations,
and whose backup is the primary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from streambackup.events.topics import INVENTORY, QUARANTINE

CONFIG_TOPIC = "streambackup.config"
PRIMARY_KEY = b"primary"
_GENERATION_PREFIX = "generation/"


class Generation(msgspec.Struct, frozen=True, kw_only=True):
    """One life of the topics. Sources publish to the one that is open.

    It is *preparing* while its topics are made, and *closing* from when sources have to wait until
    the end record of each partition of transactions is written; ``ends`` are the offsets of those
    once it is *closed*, and before that the lowest at which they may stand.
    """

    generation: str
    number: int
    predecessor: str | None
    partitions: int
    blob_partitions: int
    transactions_topic: str
    blobs_topic: str
    inventory_topic: str = INVENTORY
    quarantine_topic: str = QUARANTINE
    state: Literal["preparing", "open", "closing", "closed"] = "open"
    closing_since_ms: int | None = None
    ends: tuple[int, ...] = ()
    embedded_in: str | None = None
    """Of one that brokers follow: the store in whose embedded bus its topics are."""

    @property
    def key(self) -> bytes:
        return f"{_GENERATION_PREFIX}{self.generation}".encode()


class StoreSetup(msgspec.Struct, frozen=True, kw_only=True):
    """What was fixed when a store was made: whoever replays the topics needs the same."""

    created_ms: int
    moment_ms: int
    ignored_attributes: tuple[str, ...]


class Primary(msgspec.Struct, frozen=True, omit_defaults=True):
    """The store whose workers answer for this cluster; older releases did not tell its setup."""

    store: str
    setup: StoreSetup | None = None


def generations_in(entries: dict[bytes, bytes]) -> list[Generation]:
    """The generations listed, oldest first; ``codec.UNDECODABLE`` is raised for what is none."""
    found = [
        msgspec.json.decode(value, type=Generation)
        for key, value in entries.items()
        if key.startswith(_GENERATION_PREFIX.encode())
    ]
    return sorted(found, key=lambda generation: generation.number)


def newest(listed: Sequence[Generation]) -> Generation | None:
    """The last of *listed* whose topics are ready; sources wait where it is not open."""
    return next((found for found in reversed(listed) if found.state != "preparing"), None)


def successor(listed: Sequence[Generation], before: Generation) -> Generation | None:
    """The generation that follows *before*. Of several that were prepared at the same time it is
    the one that is ready, or the first in the topic.
    """
    following = [one for one in listed if one.predecessor == before.generation]
    ready = [one for one in following if one.state != "preparing"]
    return next(iter([*ready, *following]), None)
