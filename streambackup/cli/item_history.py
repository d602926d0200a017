"""``streambackup item history``"""

from __future__ import annotations

import msgspec

from streambackup.cli.asking import AccountId, ItemId, asking
from streambackup.cli.common import NOTHING_SAID, Common
from streambackup.cli.render import Column, write_list
from streambackup.reading.shown import Shower, ShownState
from streambackup.runtime.audit import Concerned
from streambackup.service.lookup import find_account, find_item

COLUMNS = [
    Column[ShownState]("START", lambda row: row.start),
    Column[ShownState]("END", lambda row: row.end),
    Column[ShownState]("DELETED", lambda row: row.deleted),
    Column[ShownState]("LATE", lambda row: row.late),
    Column[ShownState]("LAST TRANSACTION", lambda row: row.transactions[-1]),
    Column[ShownState]("CONTENT", lambda row: row.content),
    Column[ShownState]("SIZE", lambda row: row.size),
    Column[ShownState]("BLOB", lambda row: row.blob),
    Column[ShownState]("STATE", lambda row: msgspec.json.encode(row.state).decode()),
]


def item_history(
    account: AccountId,
    item: ItemId,
    /,
    *,
    common: Common = NOTHING_SAID,
) -> None:
    """List every state that an item was ever in, each complete, with start and end."""
    with asking(common, "item history", {}, Concerned([account], [item])) as reader:
        history = find_item(find_account(reader, account), item)
        write_list(Shower(reader).history(history), COLUMNS, as_json=common.json)
