"""Which blobs are named by whom, kept on disk while a check runs,
so that memory does not grow with the store.
"""

from __future__ import annotations

import sqlite3
from types import TracebackType

HOLDERS_SHOWN_MAX = 3


class NamedBlobs:
    """Digests and who names them, in a temporary database that vanishes when closed."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("")
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute(
            "CREATE TABLE named (digest TEXT, account TEXT, item TEXT,"
            " PRIMARY KEY (digest, account, item)) WITHOUT ROWID"
        )

    def __enter__(self) -> NamedBlobs:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._database.close()

    def add(self, digest: str, account: str, item: str) -> None:
        self._database.execute(
            "INSERT OR IGNORE INTO named VALUES (?, ?, ?)",
            (
                digest,
                account.encode("utf-8", "surrogatepass"),
                item.encode("utf-8", "surrogatepass"),
            ),
        )

    def holders(self, digest: str) -> list[tuple[str, str]]:
        """Up to a few accounts and items that name *digest*."""
        rows = self._database.execute(
            "SELECT account, item FROM named WHERE digest = ? LIMIT ?", (digest, HOLDERS_SHOWN_MAX)
        )
        return [
            (a.decode("utf-8", "surrogatepass"), i.decode("utf-8", "surrogatepass"))
            for a, i in rows
        ]
