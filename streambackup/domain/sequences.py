"""Which transactions of an account are missing, told from the numbers of those that came."""

from __future__ import annotations

from bisect import bisect_left

import msgspec

from streambackup.domain.history import Doubt
from streambackup.domain.transaction import Position, TransactionId


class _Jump(msgspec.Struct, frozen=True):
    """Numbers *first* to *last* had not come when a higher one did."""

    first: int
    last: int
    since_ms: int
    position: Position


class Sequences:
    """The numbers seen of each source and incarnation, and the holes they leave."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], set[int]] = {}
        self._highest: dict[tuple[str, str], int] = {}
        self._jumps: dict[tuple[str, str], list[_Jump]] = {}

    def note(self, id: TransactionId, published_ms: int, position: Position) -> None:
        outbox = (id.source, id.incarnation)
        highest = self._highest.get(outbox, 0)
        self._seen.setdefault(outbox, set()).add(id.sequence)
        if id.sequence > highest + 1:
            jump = _Jump(highest + 1, id.sequence - 1, published_ms, position)
            self._jumps.setdefault(outbox, []).append(jump)
        self._highest[outbox] = max(highest, id.sequence)

    def forgive(self) -> None:
        """A finished scan has settled what the holes left open."""
        self._jumps.clear()

    def doubts(self) -> list[Doubt]:
        """One doubt per hole that nothing filled."""
        found = []
        for (source, incarnation), jumps in self._jumps.items():
            numbers = sorted(self._seen[source, incarnation])
            for jump in jumps:
                came = bisect_left(numbers, jump.last + 1) - bisect_left(numbers, jump.first)
                missing = jump.last - jump.first + 1 - came
                if missing:
                    reason = (
                        f"{missing} of the transactions {jump.first} to {jump.last} "
                        f"of {source}:{incarnation} never came"
                    )
                    found.append(Doubt(jump.since_ms, reason, jump.position))
        return found
