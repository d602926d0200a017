"""``streambackup account show``"""

from __future__ import annotations

from collections.abc import Iterator

from streambackup.cli.as_of import NOW, AsOfOptions
from streambackup.cli.asking import AccountId, asking
from streambackup.cli.common import NOTHING_SAID, Common
from streambackup.cli.render import write_document
from streambackup.reading.shown import ShownAccount, show_account
from streambackup.runtime.audit import Concerned
from streambackup.service.lookup import find_account


def account_show(
    account: AccountId,
    /,
    *,
    as_of: AsOfOptions = NOW,
    common: Common = NOTHING_SAID,
) -> None:
    """Show what an account is, what it holds, and why it is in doubt if it is."""
    at_ms, until = as_of.instant_ms(), as_of.transaction_id()
    concerned = Concerned([account])
    with asking(common, "account show", as_of.arguments(), concerned) as reader:
        shown = show_account(find_account(reader, account, until=until), at_ms)
        write_document(shown, _lines(shown), as_json=common.json)


def _lines(shown: ShownAccount) -> Iterator[str]:
    yield f"account   {shown.account}"
    for name, value in (shown.state or {}).items():
        yield f"  {name}: {value}"
    yield f"first     {shown.first or '-'}"
    yield f"last      {shown.last or '-'}"
    counts = ", ".join(f"{count} {kind}" for kind, count in shown.items.items())
    yield f"items     {counts or 'none'}; {shown.deleted_items} deleted"
    for doubt in shown.in_doubt:
        yield f"in doubt  since {doubt.since}: {doubt.reason}"
    for finding in shown.findings:
        yield f"finding   {finding}"
