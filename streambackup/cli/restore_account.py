"""``streambackup restore account``"""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from streambackup.cli.as_of import NOW, AsOfOptions
from streambackup.cli.common import NOTHING_SAID, Common
from streambackup.cli.restoring import INTO_THE_SAME, RestoreOptions, past, restore
from streambackup.restore.select import WholeAccount


def restore_account(
    account: Annotated[str, Parameter(help="The account's id.")],
    /,
    *,
    as_of: AsOfOptions = NOW,
    options: RestoreOptions = INTO_THE_SAME,
    common: Common = NOTHING_SAID,
) -> None:
    """Bring a whole account back as it is or was, also into another one."""
    restore(
        "restore account",
        WholeAccount(),
        past(as_of),
        account=account,
        given=as_of.arguments(),
        options=options,
        common=common,
    )
