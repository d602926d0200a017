"""``streambackup restore item``"""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from streambackup.cli.as_of import NOW, AsOfOptions
from streambackup.cli.common import NOTHING_SAID, Common
from streambackup.cli.restoring import INTO_THE_SAME, RestoreOptions, past, restore
from streambackup.restore.select import OneItem


def restore_item(
    account: Annotated[str, Parameter(help="The account's id.")],
    item: Annotated[str, Parameter(help="The item's id.")],
    /,
    *,
    as_of: AsOfOptions = NOW,
    options: RestoreOptions = INTO_THE_SAME,
    common: Common = NOTHING_SAID,
) -> None:
    """Bring one item back as it is or was; a deleted one as it was before."""
    restore(
        "restore item",
        OneItem(item),
        past(as_of),
        account=account,
        given={"item": item, **as_of.arguments()},
        options=options,
        common=common,
    )
