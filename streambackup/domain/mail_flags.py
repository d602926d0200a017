"""The words for a message's flags in its state, and the letters that Maildir writes for them."""

from __future__ import annotations

DELETED = "deleted"
"""Marked for removal: clients hide it."""

MAILDIR_LETTERS = {
    "draft": "D",
    "flagged": "F",
    "forwarded": "P",
    "answered": "R",
    "seen": "S",
    DELETED: "T",
}
