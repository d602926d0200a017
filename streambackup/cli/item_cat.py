"""``streambackup item cat``"""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterable

import msgspec

from streambackup.cli.as_of import NOW, AsOfOptions
from streambackup.cli.asking import AccountId, ItemId, asking_of_item
from streambackup.cli.common import NOTHING_SAID, Common
from streambackup.cli.render import write_document
from streambackup.errors import NotFoundError
from streambackup.reading.contents import Contents


class Catted(msgspec.Struct, frozen=True):
    """``content`` is base64."""

    item: str
    digest: str
    size: int
    content: str


def item_cat(
    account: AccountId,
    item: ItemId,
    /,
    *,
    as_of: AsOfOptions = NOW,
    common: Common = NOTHING_SAID,
) -> None:
    """Write an item's content to standard output, byte for byte, checked against its digest."""
    with asking_of_item(common, "item cat", account, item, as_of) as (reader, item, state):
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
