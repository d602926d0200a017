"""How long what is not safe yet stays on the bus: the one place where that is computed."""

from __future__ import annotations

from typing import NamedTuple

HOUR_MS = 3_600_000


class Retention(NamedTuple):
    """What a topic keeps of a partition; None is without limit."""

    age_ms: int | None
    size_bytes: int | None


class Unsafe(NamedTuple):
    """Records of a partition that are on the bus alone: how many, about how large, and when the
    oldest was published.
    """

    records: int
    record_bytes: int
    oldest_ms: int


def headroom_hours(kept: Retention, unsafe: Unsafe, now_ms: int) -> float | None:
    """Hours until the oldest of what is *unsafe* may be dropped if nobody reads on; None is never.

    By size that is when what comes behind it has filled the partition, at the pace at which the
    unsafe records came. A bus drops whole segments, so it is rather later than sooner.
    """
    limits = []
    if kept.age_ms is not None:
        limits.append(float(unsafe.oldest_ms + kept.age_ms - now_ms))
    if kept.size_bytes is not None:
        waiting = max(unsafe.records * unsafe.record_bytes, 1)
        pace = waiting / max(now_ms - unsafe.oldest_ms, 1)
        limits.append((kept.size_bytes - waiting) / pace)
    return max(min(limits), 0.0) / HOUR_MS if limits else None
