"""What restore needs of the store: histories, and content by state. Both block; use threads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from streambackup.domain.history import AccountHistory, ItemState
from streambackup.domain.transaction import TransactionId


class Histories(Protocol):
    def history(self, account: str, *, until: TransactionId | None = None) -> AccountHistory:
        """Everything known of *account*, up to the end of the run that holds *until*.

        Raises:
            NotFoundError: no such account, or no such transaction in it.
        """
        ...


class Contents(Protocol):
    def pieces(self, state: ItemState) -> Iterator[bytes]:
        """The content that *state* names, checked against its digest before the last piece comes;
        nothing where it names none.

        Raises:
            BlobMissingError, BlobPendingError, BlobDamagedError: it cannot be had, and why.
            StoreError, BusError: it cannot be read.
        """
        ...
