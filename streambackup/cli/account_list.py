"""``streambackup account list``"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import msgspec
from cyclopts import Parameter

from streambackup.cli.common import NOTHING_SAID, Common
from streambackup.cli.render import Column, write_list
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
    accounts = reader.accounts()
    if long:
        write_list(_shown(reader, accounts), COLUMNS, as_json=common.json)
    else:
        column = Column[AccountName]("ACCOUNT", lambda row: row.account)
        write_list(map(AccountName, accounts), [column], as_json=common.json)


def _shown(reader: StoreReader, accounts: list[str]) -> Iterator[ShownAccount]:
    for account in accounts:
        shown = show_account(reader.history(account), None)
        yield msgspec.structs.replace(shown, state=None)
