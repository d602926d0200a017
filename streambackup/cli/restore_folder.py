"""``streambackup restore folder``"""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from streambackup.cli.as_of import NOW, AsOfOptions
from streambackup.cli.common import NOTHING_SAID, Common
from streambackup.cli.restoring import INTO_THE_SAME, RestoreOptions, past, restore
from streambackup.restore.select import OneFolder


def restore_folder(
    account: Annotated[str, Parameter(help="The account's id.")],
    folder: Annotated[str, Parameter(help="The folder's path, like Work/2026, or its id.")],
    /,
    *,
    as_of: AsOfOptions = NOW,
    options: RestoreOptions = INTO_THE_SAME,
    common: Common = NOTHING_SAID,
) -> None:
    """Bring a folder back with all below it, as it is or was."""
    restore(
        "restore folder",
        OneFolder(folder),
        past(as_of),
        account=account,
        given={"folder": folder, **as_of.arguments()},
        options=options,
        common=common,
    )
