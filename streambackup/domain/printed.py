"""Texts as people are shown them: nothing in them moves a cursor or hides something else."""

from __future__ import annotations

from collections.abc import Iterable


def printable(text: str) -> str:
    """*text* with every character that could move a cursor or hide another one written out."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def find_printed(shown: str, known: Iterable[str]) -> str | None:
    """The one of *known* that is shown as *shown* and is not that; None where none is, or several.

    So an id can be named that a command line cannot hold, as a list shows it: ``a\\x00b``.
    """
    if "\\" not in shown:
        return None
    found = [text for text in known if not text.isprintable() and printable(text) == shown]
    return found[0] if len(found) == 1 else None
