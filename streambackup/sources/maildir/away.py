"""What a tree that cannot be read is: away, never emptied."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from streambackup.errors import SourceError


class TreeAwayError(SourceError):
    """The tree is not there, cannot be read, or is not the one that was watched."""


@contextlib.contextmanager
def away_if_unreadable(root: bytes) -> Iterator[None]:
    """Turn what the operating system says about the tree at *root* into TreeAwayError."""
    try:
        yield
    except OSError as error:
        path = os.fsdecode(error.filename or root)
        raise TreeAwayError(
            f"the Maildir {os.fsdecode(root)} cannot be read: {error.strerror} ({path})",
            hint="Is it mounted, and is its path right? Nothing is recorded as deleted.",
        ) from error
