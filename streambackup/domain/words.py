"""Words for people: how many of what, and what may have been meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from itertools import islice

from streambackup.domain.printed import printable

_COMPARED_MAX = 5000


def counted(count: int, noun: str) -> str:
    """``1 item``, ``2 items``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def did_you_mean(word: str, words: Iterable[str]) -> str | None:
    """A question for what is most like *word*, in any case, among the first of *words* that could
    be; None where nothing is.
    """
    alike = (other for other in words if abs(len(other) - len(word)) <= len(word) // 2 + 1)
    by_folded = {other.casefold(): other for other in islice(alike, _COMPARED_MAX)}
    found = difflib.get_close_matches(word.casefold(), by_folded, n=1)
    return f"Did you mean '{printable(by_folded[found[0]])}'?" if found else None
