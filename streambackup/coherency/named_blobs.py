"""Which blobs are named by whom, kept on disk while a check runs,
so that memory does not grow with the store.
"""

from __future__ import annotations

from streambackup.reading.scratch import Scratch

HOLDERS_SHOWN_MAX = 3


class NamedBlobs:
    """Digests and who names them."""

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch
        scratch.execute(
            "CREATE TABLE named (digest TEXT, account TEXT, item TEXT,"
            " PRIMARY KEY (digest, account, item)) WITHOUT ROWID"
        )

    def add(self, digest: str, account: str, item: str) -> None:
        statement = "INSERT OR IGNORE INTO named VALUES (?, ?, ?)"
        self._scratch.add(statement, [(digest, account, item)])

    def holders(self, digest: str) -> list[tuple[str, str]]:
        """Up to a few accounts and items that name *digest*."""
        query = "SELECT account, item FROM named WHERE digest = ? LIMIT ?"
        return [(a, i) for a, i in self._scratch.rows(query, digest, HOLDERS_SHOWN_MAX)]
