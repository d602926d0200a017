"""A store in memory, for what reads one: histories folded from transactions as they are told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from streambackup.domain.digest import digest_of
from streambackup.domain.entry import Entry, Member, Operation
from streambackup.domain.fold import fold
from streambackup.domain.history import AccountHistory, ItemState
from streambackup.domain.transaction import TransactionId
from streambackup.errors import BlobMissingError, NotFoundError, StreamBackupError

_SOURCE, _INCARNATION, _GENERATION = "memory", "00000001", "memory"


class MemoryStore:
    """Its ``failures`` are raised instead of the content of a digest."""

    def __init__(self, *, moment_ms: int = 0) -> None:
        self._moment_ms = moment_ms
        self._entries: dict[str, list[Entry]] = {}
        self._contents: dict[str, bytes] = {}
        self.failures: dict[str, StreamBackupError] = {}

    def put(
        self,
        account: str,
        item: str,
        type: str,
        state: dict[str, Any],
        content: bytes | None = None,
        *,
        time_ms: int,
        change: int | None = None,
    ) -> TransactionId:
        """*item* is in *state* from *time_ms* on."""
        digest = size = None
        if content is not None:
            digest, size = digest_of(content), len(content)
            self._contents[digest] = content
        fields = {"type": type, "state": state, "digest": digest, "size": size}
        return self._add(account, Operation.PUT, item, time_ms, change, **fields)

    def delete(self, account: str, item: str, *, time_ms: int) -> TransactionId:
        return self._add(account, Operation.DELETE, item, time_ms)

    def delete_account(self, account: str, *, time_ms: int) -> TransactionId:
        return self._add(account, Operation.ACCOUNT_DELETE, "", time_ms)

    def history(self, account: str, *, until: TransactionId | None = None) -> AccountHistory:
        if account not in self._entries:
            raise NotFoundError(f"there is no account {account}")
        return fold(account, self._entries[account], moment_ms=self._moment_ms, until=until)

    def pieces(self, state: ItemState) -> Iterator[bytes]:
        if state.digest is None:
            return
        if state.digest in self.failures:
            raise self.failures[state.digest]
        if state.digest not in self._contents:
            raise BlobMissingError(f"{state.digest} is not stored")
        yield self._contents[state.digest]

    def _add(
        self,
        account: str,
        operation: Operation,
        item: str,
        time_ms: int,
        change: int | None = None,
        **fields: Any,
    ) -> TransactionId:
        entries = self._entries.setdefault(account, [])
        number = len(entries) + 1
        id = TransactionId(_SOURCE, _INCARNATION, number)
        member = Member(
            id=id,
            time_ms=time_ms,
            change=change,
            offset=number,
            published_ms=time_ms,
            checksum=number,
        )
        entries.append(
            Entry(
                generation=_GENERATION,
                partition=0,
                account=account,
                operation=operation,
                members=(member,),
                item=item,
                **fields,
            )
        )
        return id
