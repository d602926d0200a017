"""What a restore did, item by item that it did not: it adds up to what was selected, always."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from streambackup.domain.history import Doubt
from streambackup.domain.words import counted
from streambackup.errors import IncompleteError

_HINT = "The report names each item and why; those with an earlier good state name its transaction."


class Failure(StrEnum):
    """Why an item was not restored. The closed list."""

    READ_ERROR = "read-error"
    """Its content is missing, not stored yet, or cannot be read."""
    BROKEN = "broken"
    """Its state or its content can be read and is corrupt."""
    INVALID = "invalid"
    """The target cannot hold it."""
    UNVERIFIED = "unverified"
    """What was read back is not what was written."""


class Unrestored(msgspec.Struct, frozen=True):
    """An item that is not there. ``salvage`` is the newest earlier transaction whose state and
    content are good, if any: restore the item as of that one.
    """

    item: str
    type: str
    transaction: str
    failure: Failure
    reason: str
    salvage: str | None = None


class RestoreReport(msgspec.Struct, frozen=True, kw_only=True):
    """Of ``selected`` items each is restored, skipped, unrestored or, where the restore was
    stopped, remaining.

    ``skipped`` were restored earlier and are still there. ``left_out`` counts, by item type and
    field, what the target does not keep of restored items.
    """

    account: str
    as_of: str
    into: str
    place: str
    selected: int
    restored: int
    restored_bytes: int
    skipped: int
    verified: int
    remaining: int
    folders_made: int
    unrestored: tuple[Unrestored, ...]
    left_out: dict[str, int]
    warnings: tuple[str, ...]
    doubts: tuple[Doubt, ...]

    @property
    def complete(self) -> bool:
        return not self.unrestored and not self.remaining

    def as_document(self) -> dict[str, Any]:
        """What is told of it in JSON: ``complete``, then its fields."""
        return {"complete": self.complete, **msgspec.structs.asdict(self)}

    def raise_if_incomplete(self) -> None:
        """Raises IncompleteError where anything selected is not there."""
        missing = len(self.unrestored) + self.remaining
        if missing:
            raise IncompleteError(
                f"{missing} of {counted(self.selected, 'item')} not restored", hint=_HINT
            )
