"""``streambackup item show``"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from cyclopts import Parameter

from streambackup.cli.as_of import NOW, AsOfOptions
from streambackup.cli.asking import asking
from streambackup.cli.common import NOTHING_SAID, Common
from streambackup.cli.render import note, write_document
from streambackup.reading.shown import Shower, ShownState, explain_run
from streambackup.runtime.audit import Concerned
from streambackup.service.lookup import find_account, find_item, find_state


def item_show(
    account: Annotated[str, Parameter(help="The account's id.")],
    item: Annotated[str, Parameter(help="The item's id.")],
    /,
    *,
    as_of: AsOfOptions = NOW,
    common: Common = NOTHING_SAID,
) -> None:
    """Show an item as it is or was: its full state, and where its content lies."""
    at_ms, until = as_of.instant_ms(), as_of.transaction_id()
    concerned = Concerned([account], [item])
    with asking(common, "item show", as_of.arguments(), concerned) as reader:
        state = find_state(find_item(find_account(reader, account, until=until), item), at_ms)
        shown = Shower(reader).state(item, state)
        if explanation := explain_run(state, until):
            note(explanation)
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
        yield f"content       {shown.content}, {shown.size} bytes, {shown.digest}"
        if shown.blob:
            yield f"blob          {shown.blob}"
    for name, value in shown.state.items():
        yield f"  {name}: {value}"
