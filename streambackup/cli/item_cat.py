"""``streambackup item cat``"""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterable
from typing import Annotated

import msgspec
from cyclopts import Parameter

from streambackup.cli.as_of import NOW, AsOfOptions
from streambackup.cli.asking import asking
from streambackup.cli.common import NOTHING_SAID, Common
from streambackup.cli.render import note, write_document
from streambackup.errors import NotFoundError
from streambackup.reading.contents import Contents
from streambackup.reading.shown import explain_run
from streambackup.runtime.audit import Concerned
from streambackup.service.lookup import find_account, find_item, find_state


class Catted(msgspec.Struct, frozen=True):
    """``content`` is base64."""

    item: str
    digest: str
    size: int
    content: str


def item_cat(
    account: Annotated[str, Parameter(help="The account's id.")],
    item: Annotated[str, Parameter(help="The item's id.")],
    /,
    *,
    as_of: AsOfOptions = NOW,
    common: Common = NOTHING_SAID,
) -> None:
    """Write an item's content to standard output, byte for byte, checked against its digest."""
    at_ms, until = as_of.instant_ms(), as_of.transaction_id()
    concerned = Concerned([account], [item])
    with asking(common, "item cat", as_of.arguments(), concerned) as reader:
        state = find_state(find_item(find_account(reader, account, until=until), item), at_ms)
        if explanation := explain_run(state, until):
            note(explanation)
        if state.digest is None:
            raise NotFoundError(
                f"item {item} has no content, its state is all of it",
                hint=f"'streambackup item show {account} {item}' shows the state.",
            )
        pieces = Contents(reader).pieces(state)
        if common.json:
            content = b"".join(pieces)
            encoded = base64.b64encode(content).decode()
            write_document(Catted(item, state.digest, len(content), encoded), (), as_json=True)
        else:
            _write(pieces)


def _write(pieces: Iterable[bytes]) -> None:
    sys.stdout.flush()
    for piece in pieces:
        sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()
