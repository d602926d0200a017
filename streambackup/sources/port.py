"""Sources: where changes come from. A source says what it saw; it never sees the bus.

The outbox turns observations into transactions and keeps, in the same commit, what the source wants
to remember (its *memory*): so what was seen has effect exactly once, whenever the process dies.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

from streambackup.domain.entry import ItemType


class Content(msgspec.Struct, frozen=True):
    """What an item holds besides its state: its digest and size as read, and the file it was read
    from.

    The file may be gone by the time the outbox reads it; the outbox then drops the observation, and
    the source, whose memory did not change, sees the difference again.
    """

    digest: str
    size: int
    path: Path


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """One change of one item, as the source understood it. ``time_ms`` is the source's own time of
    the change.

    ``operation`` "folder-delete" stands behind the deletes of what was in the folder; "account-
    delete" behind all. ``remember`` holds the memory that goes with it: key to value, or to None to
    forget. It may be empty of everything else (``operation`` None) when only the memory changes.
    """

    account: str
    time_ms: int
    operation: Literal["put", "delete", "folder-delete", "account-delete"] | None
    item: str = ""
    type: ItemType | None = None
    state: dict[str, Any] = {}
    content: Content | None = None
    remember: dict[str, bytes | None] = {}


class Memory(Protocol):
    """What a source remembered with the observations that are safe in the outbox.

    Blocking; call it in threads.
    """

    def get(self, account: str, keys: Sequence[str]) -> dict[str, bytes]:
        """The values of those of *keys* that are known."""
        ...

    def scan(self, account: str, prefix: str) -> Iterator[tuple[str, bytes]]:
        """All keys that begin with *prefix*, in order."""
        ...


class Source(Protocol):
    @property
    def name(self) -> str:
        """The source's part of the transaction ids it causes (``[A-Za-z0-9._@-]{1,64}``)."""
        ...

    def observe(self, memory: Memory) -> AsyncGenerator[list[Observation], None]:
        """Differences to *memory* first, then changes as they happen, in batches.

        Each batch is to be recorded, with what it wants remembered, before the next is drawn: the
        source reads *memory* only after that. Ends only when closed.

        Raises:
            SourceError: the mail store cannot be read any more.
        """
        ...
