"""``streambackup item show``"""

from __future__ import annotations

from collections.abc import Iterator

from streambackup.cli.as_of import NOW, AsOfOptions
from streambackup.cli.asking import AccountId, ItemId, asking_of_item
from streambackup.cli.common import NOTHING_SAID, Common
from streambackup.cli.render import write_document
from streambackup.domain.words import counted
from streambackup.reading.shown import Shower, ShownState


def item_show(
    account: AccountId,
    item: ItemId,
    /,
    *,
    as_of: AsOfOptions = NOW,
    common: Common = NOTHING_SAID,
) -> None:
    """Show an item as it is or was: its full state, and where its content lies."""
    with asking_of_item(common, "item show", account, item, as_of) as asked:
        shown = Shower(asked.reader).state(asked.item, asked.state)
        write_document(shown, _lines(shown), as_json=common.json)


def _lines(shown: ShownState) -> Iterator[str]:
    yield f"item          {shown.item}"
    yield f"type          {shown.type}"
    yield f"from          {shown.start}"
    yield f"until         {shown.end or 'now'}"
    if shown.deleted:
        yield "deleted       yes; this is what it was"
    for transaction in shown.transactions:
        yield f"transaction   {transaction}"
    if shown.digest is not None:
        yield f"content       {shown.content}, {counted(shown.size or 0, 'byte')}, {shown.digest}"
        if shown.blob:
            yield f"blob          {shown.blob}"
    for name, value in shown.state.items():
        yield f"  {name}: {value}"
