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

MEANINGS = {
    FindingClass.TORN_TAIL: "the end of an append or a filing that a crash cut short",
    FindingClass.UNFILED_SEGMENT: "journalled, and not in account logs yet",
    FindingClass.UNNAMED_BLOB: "a blob that no transaction names",
    FindingClass.LEFTOVER_FILE: "a file of a blob that was not stored to its end",
    FindingClass.ABANDONED_UPLOAD: "an upload whose rest never came, given up",
    FindingClass.TIME_AHEAD: "a transaction that claims a time far ahead of its publication",
    FindingClass.CONFLICTING_TRANSACTION: "two transactions of one id that say different things",
    FindingClass.DAMAGED_FRAME: "bytes in a journal that fail their check",
    FindingClass.DAMAGED_LINE: "a line of a log, or a filed mark, that fails its check",
    FindingClass.MISSING_FRAMES: "offsets that no frame covers although later ones are covered",
    FindingClass.MISSING_LINES: "what was filed and is in no log any more",
    FindingClass.MISSING_BLOB: "content that a state names, that was due and is not stored",
    FindingClass.DAMAGED_BLOB: "content that is not what its digest says",
    FindingClass.ORPHANED_METADATA: "a log, an account's directory or a generation that nothing "
    "accounts for",
}


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
