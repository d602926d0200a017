"""What the commands about the quarantine have in common: which of it is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from cyclopts import Parameter

from streambackup.cli.as_of import read_time
from streambackup.service.quarantine import Filter


@Parameter(name="*")
@dataclass(frozen=True)
class Wanted:
    """What to look for; all that is given must hold."""

    account: Annotated[
        str | None, Parameter(help="Records of transactions whose key names this account.")
    ] = None
    topic: Annotated[
        Literal["mailbox.transactions", "mailbox.blobs"] | None, Parameter(help="Of this topic.")
    ] = None
    since: Annotated[str | None, Parameter(help="Published at this time or later.")] = None

    def filter(self) -> Filter:
        """What was asked for. Raises UsageError."""
        since_ms = None if self.since is None else read_time(self.since)
        return Filter(account=self.account, topic=self.topic, since_ms=since_ms)

    def arguments(self) -> dict[str, object]:
        """What was given, for the audit log."""
        given = {"account": self.account, "topic": self.topic, "since": self.since}
        return {name: value for name, value in given.items() if value is not None}


EVERYTHING = Wanted()
