"""``streambackup item list``"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from streambackup.cli.as_of import read_time
from streambackup.cli.asking import AccountId, asking
from streambackup.cli.common import NOTHING_SAID, Common
from streambackup.cli.render import Column, instant, note, write_list
from streambackup.domain.entry import ItemType
from streambackup.errors import UsageError
from streambackup.reading.item_list import ItemFilter, ListedItem, Window, list_items
from streambackup.runtime.audit import Concerned
from streambackup.service.lookup import find_account

COLUMNS = [
    Column[ListedItem]("ITEM", lambda row: row.item),
    Column[ListedItem]("TYPE", lambda row: row.type),
    Column[ListedItem]("FOLDER", lambda row: row.folder),
    Column[ListedItem]("DATE", lambda row: instant(row.date_ms)),
    Column[ListedItem]("SENDER", lambda row: row.sender),
    Column[ListedItem]("NAME", lambda row: row.name),
    Column[ListedItem]("SIZE", lambda row: row.size),
    Column[ListedItem]("DELETED", lambda row: instant(row.deleted_ms)),
]


@Parameter(name="*")
@dataclass(frozen=True)
class Wanted:
    """What to look for; all that is given must hold."""

    folder: Annotated[str | None, Parameter(help="In this folder: its path, name or id.")] = None
    sender: Annotated[
        str | None, Parameter(name="--from", help="With this text in the sender.")
    ] = None
    subject: Annotated[
        str | None, Parameter(help="With this text in the subject, name or title.")
    ] = None
    since: Annotated[
        str | None, Parameter(help="Received (or beginning) at this time or later.")
    ] = None
    until: Annotated[str | None, Parameter(help="Received (or beginning) before this time.")] = None
    type: Annotated[list[ItemType] | None, Parameter(help="Of this type; may be repeated.")] = None
    at: Annotated[str | None, Parameter(help="In the account as it was at this time.")] = None
    deleted: Annotated[bool, Parameter(help="Deleted ones as well, as they were before.")] = False
    deleted_between: Annotated[
        tuple[str, str] | None,
        Parameter(help="Only what was deleted from the first time on, before the second."),
    ] = None

    def filter(self) -> ItemFilter:
        """What was asked for. Raises UsageError."""
        if self.deleted_between is not None and self.at is not None:
            raise UsageError(
                "--at and --deleted-between exclude each other", hint="Give one of the two."
            )
        return ItemFilter(
            at_ms=None if self.at is None else read_time(self.at),
            with_deleted=self.deleted,
            deleted=_window(*self.deleted_between) if self.deleted_between else None,
            dated=_window(self.since, self.until),
            types=frozenset(self.type or ()),
            folder=self.folder,
            sender=self.sender,
            subject=self.subject,
        )

    def arguments(self) -> dict[str, object]:
        """What was given, for the audit log."""
        return {name: value for name, value in vars(self).items() if value}


EVERYTHING = Wanted()


def item_list(
    account: AccountId,
    /,
    *,
    wanted: Wanted = EVERYTHING,
    common: Common = NOTHING_SAID,
) -> None:
    """Find items by folder, sender, subject, date, or when they were deleted."""
    what = wanted.filter()
    with asking(common, "item list", wanted.arguments(), Concerned([account])) as reader:
        history = find_account(reader, account)
        if history.doubts:
            note(f"the list may not be complete: {min(history.doubts).reason}")
        write_list(list_items(history, what), COLUMNS, as_json=common.json)


def _window(begin: str | None, end: str | None) -> Window:
    begin_ms = None if begin is None else read_time(begin)
    end_ms = None if end is None else read_time(end)
    if begin_ms is not None and end_ms is not None and begin_ms >= end_ms:
        raise UsageError(f"{begin} is not before {end}", hint="Exchange the two times.")
    return Window(begin_ms, end_ms)
