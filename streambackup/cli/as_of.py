"""The options that name a past: an instant, or a transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from streambackup.cli.render import note
from streambackup.domain.instant import parse_instant
from streambackup.domain.transaction import TransactionId
from streambackup.errors import UsageError
from streambackup.runtime.clock import SystemClock


def read_time(text: str) -> int:
    """The instant that *text* names, in ms; says which zone was assumed. Raises UsageError."""
    instant = parse_instant(text, now_ms=SystemClock().now_ms())
    if instant.zone is not None:
        note(f"{text!r} is read in the time zone {instant.zone}")
    return instant.time_ms


@Parameter(name="*")
@dataclass(frozen=True)
class AsOfOptions:
    """Now, unless something else is said."""

    at: Annotated[
        str | None,
        Parameter(help="As it was at this time: 2026-11-21T14:03:22Z, '2h ago', ms since 1970."),
    ] = None
    transaction: Annotated[
        str | None, Parameter(help="As it was after this transaction (see 'item history').")
    ] = None

    def instant_ms(self) -> int | None:
        """The instant named; None for now. Raises UsageError."""
        if self.at is not None and self.transaction is not None:
            raise UsageError(
                "--at and --transaction exclude each other", hint="Give one of the two."
            )
        return None if self.at is None else read_time(self.at)

    def transaction_id(self) -> TransactionId | None:
        """The transaction named. Raises UsageError."""
        return None if self.transaction is None else TransactionId.parse(self.transaction)

    def arguments(self) -> dict[str, object]:
        """What was given, for the audit log."""
        given = {"at": self.at, "transaction": self.transaction}
        return {name: value for name, value in given.items() if value is not None}


NOW = AsOfOptions()
