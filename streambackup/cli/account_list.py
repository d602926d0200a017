"""``streambackup account list``"""

from __future__ import annotations

from typing import Annotated

import msgspec
from cyclopts import Parameter

from streambackup.cli.common import NOTHING_SAID, Common
from streambackup.cli.render import Column, note, write_list
from streambackup.domain.history import AccountHistory
from streambackup.reading.shown import ShownAccount, show_account
from streambackup.reading.store_reader import StoreReader


class AccountName(msgspec.Struct, frozen=True):
    account: str


COLUMNS = [
    Column[ShownAccount]("ACCOUNT", lambda row: row.account),
    Column[ShownAccount]("ITEMS", lambda row: sum(row.items.values())),
    Column[ShownAccount]("DELETED", lambda row: row.deleted_items),
    Column[ShownAccount]("FIRST", lambda row: row.first),
    Column[ShownAccount]("LAST", lambda row: row.last),
    Column[ShownAccount]("IN DOUBT", lambda row: len(row.in_doubt) or None),
]


def account_list(
    *,
    long: Annotated[
        bool, Parameter(help="Also what each account holds; reads every history.")
    ] = False,
    common: Common = NOTHING_SAID,
) -> None:
    """List the accounts that the store knows, deleted ones included."""
    reader = StoreReader(common.settings().store.path)
    for reason in reader.doubts():
        note(f"the list may not be complete: {reason}")
    if long:
        shown = sorted(map(_shown, reader.histories()), key=lambda account: account.account)
        write_list(shown, COLUMNS, as_json=common.json)
    else:
        column = Column[AccountName]("ACCOUNT", lambda row: row.account)
        write_list(map(AccountName, reader.accounts()), [column], as_json=common.json)


def _shown(history: AccountHistory) -> ShownAccount:
    return msgspec.structs.replace(show_account(history, None), state=None)
