"""Words for people: how many of what, and what may have been meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from itertools import islice

_COMPARED_MAX = 5000


def counted(count: int, noun: str) -> str:
    """``1 item``, ``2 items``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def nearest(word: str, words: Iterable[str]) -> str | None:
    """What is most like *word* among the first of *words* that could be."""
    alike = (other for other in words if abs(len(other) - len(word)) <= len(word) // 2 + 1)
    return next(iter(difflib.get_close_matches(word, islice(alike, _COMPARED_MAX), n=1)), None)
