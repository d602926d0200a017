"""Transaction time: what counts when a source's clock is wrong."""

from __future__ import annotations

AHEAD_MAX_MS = 5 * 60 * 1000
"""A time further than this ahead of its record's publish time counts as the publish time."""


def clamp(time_ms: int, published_ms: int) -> int:
    """The time that counts for a transaction made at *time_ms* and published at *published_ms*."""
    return time_ms if time_ms <= published_ms + AHEAD_MAX_MS else published_ms
