"""A clock that a test moves."""

from __future__ import annotations


class ManualClock:
    def __init__(self, now_ms: int = 1_750_000_000_000) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        return self._now_ms

    def monotonic_s(self) -> float:
        return self._now_ms / 1000

    def advance(self, *, ms: int) -> None:
        self._now_ms += ms
