"""How a command looks into the store: what it shows is written down before it is shown."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Annotated, NamedTuple

from cyclopts import Parameter

from streambackup.cli.as_of import AsOfOptions
from streambackup.cli.common import Common
from streambackup.cli.render import note
from streambackup.domain.history import ItemState
from streambackup.reading.shown import explain_run
from streambackup.reading.store_reader import StoreReader
from streambackup.runtime.audit import Concerned
from streambackup.runtime.clock import SystemClock
from streambackup.runtime.disk import Disk
from streambackup.service.lookup import (
    account_named,
    check_text,
    find_account,
    find_item,
    find_state,
    open_audit_log,
)

AccountId = Annotated[str, Parameter(help="The account's id.")]
ItemId = Annotated[str, Parameter(help="The item's id.")]


@contextlib.contextmanager
def asking(
    common: Common, command: str, arguments: Mapping[str, object], concerned: Concerned
) -> Iterator[StoreReader]:
    """A reader of the store, for a *command* that the audit log knows of.

    Raises:
        UsageError: an id is no text. StoreError: there is no store, or the audit log cannot be
        written.
    """
    for id in (*concerned.accounts, *concerned.items):
        check_text(id)
    settings = common.settings().store
    reader = StoreReader(settings.path)
    accounts = [account_named(reader, account) for account in concerned.accounts]
    concerned = Concerned(accounts, concerned.items)
    audit = open_audit_log(settings, disk=Disk(), clock=SystemClock())
    with audit.recorded(command, arguments, concerned):
        yield reader


class AskedItem(NamedTuple):
    """An item by its true id, in the state asked for."""

    reader: StoreReader
    item: str
    state: ItemState


@contextlib.contextmanager
def asking_of_item(
    common: Common, command: str, account: str, item: str, as_of: AsOfOptions
) -> Iterator[AskedItem]:
    """The state of *item* as of what was asked for, which is explained where it has to be.

    Raises:
        NotFoundError: there is no such account, transaction or item, or not yet. What ``asking``
        raises.
    """
    at_ms, until = as_of.instant_ms(), as_of.transaction_id()
    with asking(common, command, as_of.arguments(), Concerned([account], [item])) as reader:
        found = find_item(find_account(reader, account, until=until), item)
        state = find_state(found, at_ms)
        if explanation := explain_run(state, until):
            note(explanation)
        yield AskedItem(reader, found.item, state)
