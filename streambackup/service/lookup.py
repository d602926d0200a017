"""Looking things up for a person: what does not exist is answered with the nearest that does, and
who looked is written down.
"""

from __future__ import annotations

from streambackup.domain.history import AccountHistory, ItemHistory, ItemState
from streambackup.domain.instant import format_instant
from streambackup.domain.printed import find_printed
from streambackup.domain.transaction import TransactionId
from streambackup.domain.words import did_you_mean
from streambackup.errors import NotFoundError, UsageError
from streambackup.reading.store_reader import StoreReader
from streambackup.runtime.audit import AuditLog, current_user
from streambackup.runtime.clock import Clock
from streambackup.runtime.disk import Disk
from streambackup.service.settings import StoreSettings

AUDIT_FILE = "audit.jsonl"


def open_audit_log(settings: StoreSettings, *, disk: Disk, clock: Clock) -> AuditLog:
    """The audit log of the store, for the user of this process."""
    path = settings.audit_path or settings.path / AUDIT_FILE
    return AuditLog(path, disk=disk, clock=clock, who=current_user())


def find_account(
    reader: StoreReader, account: str, *, until: TransactionId | None = None
) -> AccountHistory:
    """The history of the *account* named; with *until*, as it was after that transaction.

    Raises:
        NotFoundError: no such account, naming the nearest; or no such transaction.
    """
    account = account_named(reader, account)
    try:
        return reader.history(account, until=until)
    except NotFoundError as error:
        accounts = reader.accounts()
        if account in accounts:
            raise
        hint = did_you_mean(account, accounts) or error.hint
        raise NotFoundError(error.message, hint=hint) from error


def account_named(reader: StoreReader, name: str) -> str:
    """The id of the account that *name* is, or that lists show as *name*; *name* if there is none.

    Raises:
        UsageError: it is no text.
    """
    check_text(name)
    if "\\" not in name:
        return name
    accounts = reader.accounts()
    return name if name in accounts else find_printed(name, accounts) or name


def item_named(history: AccountHistory, name: str) -> str:
    """The id of the item that *name* is, or that lists show as *name*; *name* if there is none."""
    return name if name in history.items else find_printed(name, history.items) or name


def find_item(history: AccountHistory, item: str) -> ItemHistory:
    """The history of the *item* named, in its account. Raises NotFoundError, naming the nearest."""
    found = history.items.get(item_named(history, item))
    if found is None:
        raise NotFoundError(
            f"account {history.account} has no item {item}",
            hint=did_you_mean(item, history.items)
            or f"'streambackup item list {history.account}' finds items by what is in them.",
        )
    return found


def find_state(item: ItemHistory, at_ms: int | None) -> ItemState:
    """The state of *item* at an instant, or the newest.

    Raises:
        NotFoundError: it did not exist yet.
    """
    state = item.current if at_ms is None else item.at(at_ms)
    if state is None:
        first = min(state.start_ms for state in item.states)
        raise NotFoundError(
            f"item {item.item} was not there yet at that time",
            hint=f"It was first seen at {format_instant(first)}.",
        )
    return state


def check_text(id: str) -> str:
    """*id*, if it can be one: bytes of the command line that are no UTF-8 cannot.

    Raises:
        UsageError: it cannot.
    """
    try:
        id.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"{id!r} is not UTF-8", hint="Ids are text in UTF-8.") from error
    return id
