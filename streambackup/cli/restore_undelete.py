"""``streambackup restore undelete``"""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from streambackup.cli.as_of import read_time
from streambackup.cli.common import NOTHING_SAID, Common
from streambackup.cli.restoring import INTO_THE_SAME, RestoreOptions, restore
from streambackup.errors import UsageError
from streambackup.restore.select import AsOf, DeletedBetween


def restore_undelete(
    account: Annotated[str, Parameter(help="The account's id.")],
    /,
    *,
    since: Annotated[str, Parameter(help="Deleted at this time or later.")],
    until: Annotated[str, Parameter(help="Deleted before this time.")] = "now",
    options: RestoreOptions = INTO_THE_SAME,
    common: Common = NOTHING_SAID,
) -> None:
    """Bring back what was deleted within a time, each item as it was just before."""
    window = DeletedBetween(read_time(since), read_time(until))
    if window.start_ms >= window.end_ms:
        raise UsageError("--since is not before --until", hint="Exchange the two times.")
    restore(
        "restore undelete",
        window,
        AsOf(),
        account=account,
        given={"since": since, "until": until},
        options=options,
        common=common,
    )
