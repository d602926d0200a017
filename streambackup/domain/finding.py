"""Findings: one thing noticed, its class, and what to do about it."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class FindingClass(StrEnum):
    """The closed list. Notes are normal after a crash or in a live store; faults are not."""

    TORN_TAIL = "torn-tail"
    UNFILED_SEGMENT = "unfiled-segment"
    UNNAMED_BLOB = "unnamed-blob"
    LEFTOVER_FILE = "leftover-file"
    ABANDONED_UPLOAD = "abandoned-upload"
    TIME_AHEAD = "time-ahead"
    CONFLICTING_TRANSACTION = "conflicting-transaction"
    DAMAGED_FRAME = "damaged-frame"
    DAMAGED_LINE = "damaged-line"
    MISSING_FRAMES = "missing-frames"
    MISSING_LINES = "missing-lines"
    MISSING_BLOB = "missing-blob"
    DAMAGED_BLOB = "damaged-blob"
    ORPHANED_METADATA = "orphaned-metadata"

    @property
    def is_fault(self) -> bool:
        return self in _FAULTS


_FAULTS = frozenset(
    {
        FindingClass.DAMAGED_FRAME,
        FindingClass.DAMAGED_LINE,
        FindingClass.MISSING_FRAMES,
        FindingClass.MISSING_LINES,
        FindingClass.MISSING_BLOB,
        FindingClass.DAMAGED_BLOB,
        FindingClass.ORPHANED_METADATA,
    }
)


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``what`` says it for people; the other fields name the thing, as far as it has them."""

    finding: FindingClass
    what: str
    account: str | None = None
    item: str | None = None
    digest: str | None = None
    path: str | None = None
    offset: int | None = None
    cure: str | None = None

    @property
    def is_fault(self) -> bool:
        return self.finding.is_fault
