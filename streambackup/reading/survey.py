"""A survey of a whole store in one reading: its fingerprint, and how far its content is there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import msgspec

from streambackup.domain.history import AccountHistory
from streambackup.reading.contents import Contents, Standing
from streambackup.reading.fingerprint import account_hash, root_of
from streambackup.reading.scratch import Scratch
from streambackup.reading.store_reader import StoreReader

DIGESTS_AT_ONCE = 4_000


class BlobCoverage(msgspec.Struct, frozen=True):
    """Contents that states name, each digest once. One is pending while any place that a state
    names for it was not read yet.
    """

    stored: int = 0
    pending: int = 0
    missing: int = 0


class Survey:
    """What a store knew when it was read. Blocking; little of it is in memory.

    ``in_doubt`` counts accounts whose state the stream alone cannot give.
    """

    def __init__(self, reader: StoreReader, progress: Callable[[int], None]) -> None:
        """Read all of it; *progress* is told how many accounts were, and ends it by raising."""
        self._scratch = Scratch(
            "CREATE TABLE named (digest TEXT PRIMARY KEY, standing TEXT) WITHOUT ROWID"
        )
        self.accounts = 0
        self.in_doubt = 0
        contents = Contents(reader)
        hashes: dict[str, bytes] = {}
        for history in reader.histories():
            self.accounts += 1
            progress(self.accounts)
            self.in_doubt += bool(history.doubts)
            if history.items:
                hashes[history.account] = account_hash(history)
            self._scratch.add(
                "INSERT INTO named VALUES (?, ?) ON CONFLICT (digest) DO UPDATE"
                " SET standing = 'pending' WHERE excluded.standing = 'pending'",
                _standings(history, contents),
            )
        self.fingerprint = root_of(hashes)

    def absent(self) -> Iterator[list[str]]:
        """The digests that are not stored, some at a time."""
        after = ""
        query = (
            "SELECT digest FROM named WHERE digest > ? AND standing != 'stored'"
            " ORDER BY digest LIMIT ?"
        )
        while found := [row[0] for row in self._scratch.rows(query, after, DIGESTS_AT_ONCE)]:
            yield found
            after = found[-1]

    def note_stored(self, digests: Iterable[str]) -> None:
        """*digests* are stored by now."""
        rows = ((digest,) for digest in digests)
        self._scratch.add("UPDATE named SET standing = 'stored' WHERE digest = ?", rows)

    def coverage(self) -> BlobCoverage:
        rows = self._scratch.rows("SELECT standing, count(*) FROM named GROUP BY standing")
        return BlobCoverage(**dict(rows))

    def close(self) -> None:
        self._scratch.close()


def _standings(history: AccountHistory, contents: Contents) -> Iterator[tuple[str, Standing]]:
    for item in history.items.values():
        for state in item.states:
            if state.digest is not None:
                yield state.digest, contents.standing(state)
