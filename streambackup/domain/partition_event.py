"""What happened to a partition as a whole: it concerns every account that lives in it."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from streambackup.domain.transaction import Position, TransactionId


class PartitionEventKind(StrEnum):
    MARKER = "marker"
    GAP = "gap"
    QUARANTINE = "quarantine"


class PartitionEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A marker without account, a gap (``position`` to ``end``), or a record in quarantine.

    A quarantined record keeps its ``key``, ``value`` and publish time; ``account`` is what its key
    names. ``transaction`` is the id that whoever reads it finds in its bytes, and is not filed: an
    older release may have found none.
    """

    kind: PartitionEventKind
    position: Position
    end: int
    time_ms: int
    reason: str
    account: str | None = None
    key: bytes | None = None
    value: bytes | None = None
    transaction: TransactionId | None = None

    def concerns(self, account: str) -> bool:
        return self.kind is not PartitionEventKind.QUARANTINE or self.account == account
