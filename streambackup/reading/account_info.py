"""``account_info``: an account's own history as a JSON array, for people and plain tools.

Never read back.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from streambackup.domain.entry import ItemType
from streambackup.domain.history import ItemHistory
from streambackup.metadata.account_log import account_directory
from streambackup.reading.store_reader import StoreReader
from streambackup.runtime.disk import Disk

ACCOUNT_INFO = "account_info"


def history_json(history: ItemHistory) -> bytes:
    """All states of an item as a JSON array, each complete, with its start and end."""
    return msgspec.json.encode(history.states)


def write_account_infos(root: Path, accounts: tuple[str, ...], disk: Disk) -> None:
    """Derive the files of *accounts* from what is filed; each is replaced as a whole."""
    if not accounts:
        return
    reader = StoreReader(root)
    for account in accounts:
        own = [
            history
            for history in reader.history(account).items.values()
            if history.states[-1].type == ItemType.ACCOUNT
        ]
        if own:
            text = msgspec.json.format(b"[" + b",".join(map(_inner, own)) + b"]")
            disk.replace(account_directory(root, account) / ACCOUNT_INFO, text + b"\n")


def _inner(history: ItemHistory) -> bytes:
    return history_json(history)[1:-1]
