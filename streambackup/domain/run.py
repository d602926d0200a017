"""The run rule: which neighbouring transactions of one item become one entry.

The write path and the fold both ask here, so that it does not matter where a batch ended.
"""

from __future__ import annotations

from streambackup.domain.entry import Entry, Member
from streambackup.domain.moment import clamp


def same_moment(a: Member, b: Member, moment_ms: int) -> bool:
    """Whether two times, clamped, fall into one moment; never when coalescing is off."""
    if not moment_ms:
        return False
    first = clamp(a.time_ms, a.published_ms)
    second = clamp(b.time_ms, b.published_ms)
    return first // moment_ms == second // moment_ms


def change_falls(earlier: int | None, later: int | None) -> bool:
    """A change number that sinks, or that only one of the two has, ends a run."""
    if earlier is None or later is None:
        return earlier is not later
    return later < earlier


def continues(entry: Entry, last: Member, following: Entry, first: Member, moment_ms: int) -> bool:
    """Whether *following*, from its member *first* on, belongs to the run that ends with *last*."""
    return (
        entry.plain_put
        and following.plain_put
        and entry.digest == following.digest
        and last.id.source == first.id.source
        and last.id.incarnation == first.id.incarnation
        and last.id.sequence < first.id.sequence
        and not change_falls(last.change, first.change)
        and same_moment(last, first, moment_ms)
    )
