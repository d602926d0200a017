"""A source's memory, kept in the outbox: it changes only in the commit of an observation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from streambackup.outbox.database import Database

_PAGE_KEYS = 1_000


class OutboxMemory:
    """The ``Memory`` of the sources' port. A scan sees what is recorded while it goes on."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, account: str, keys: Sequence[str]) -> dict[str, bytes]:
        return self._database.remembered(account, keys)

    def scan(self, account: str, prefix: str) -> Iterator[tuple[str, bytes]]:
        """In pages, so that neither the memory nor a lock is held between two keys."""
        assert prefix, "A scan of everything is not asked for."
        after, below = prefix, prefix[:-1] + chr(ord(prefix[-1]) + 1)
        exact = self._database.remembered(account, [prefix])
        yield from exact.items()
        while page := self._database.remembered_between(account, after, below, keys_max=_PAGE_KEYS):
            yield from page
            after = page[-1][0]
