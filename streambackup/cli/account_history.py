"""``streambackup account history``"""

from __future__ import annotations

from streambackup.cli.asking import AccountId, asking
from streambackup.cli.common import NOTHING_SAID, Common
from streambackup.cli.item_history import COLUMNS
from streambackup.cli.render import write_list
from streambackup.reading.shown import Shower, account_item
from streambackup.runtime.audit import Concerned
from streambackup.service.lookup import find_account


def account_history(
    account: AccountId,
    /,
    *,
    common: Common = NOTHING_SAID,
) -> None:
    """List every state of an account itself: its preferences, settings, password hash."""
    with asking(common, "account history", {}, Concerned([account])) as reader:
        own = account_item(find_account(reader, account))
        states = Shower(reader).history(own) if own else []
        write_list(states, COLUMNS, as_json=common.json)
