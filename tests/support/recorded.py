"""What a store says that a mailbox holds or held, as ``snapshot_of`` reads it from the tree."""

from __future__ import annotations

import base64

from streambackup.domain.entry import ItemType
from streambackup.domain.mail_flags import MAILDIR_LETTERS
from streambackup.domain.modified_utf7 import encode_modified_utf7
from streambackup.reading.folder_paths import FolderPaths
from streambackup.reading.store_reader import StoreReader
from tests.corpus.mailbox_writer import Snapshot


def recorded_snapshot(
    reader: StoreReader, account: str, instant_ms: int | None = None
) -> Snapshot | None:
    """The messages of *account* at an instant or now; None where nothing is known of it."""
    if account not in reader.accounts():
        return None
    history = reader.history(account)
    paths = FolderPaths(history)
    found = set()
    for item, state in history.live(instant_ms):
        if state.type == ItemType.MESSAGE and state.digest is not None:
            names = paths.of_item(item.item, state, instant_ms).names
            folder = ".".join(encode_modified_utf7(name) for name in names)
            flags = "".join(sorted(MAILDIR_LETTERS[flag] for flag in state.state["flags"]))
            found.add((folder, flags, base64.b64decode(state.digest.replace(",", "/")).hex()))
    return frozenset(found)


def recorded_folders(reader: StoreReader, account: str) -> set[str]:
    """The folders of *account* now, named as in a ``Snapshot``."""
    history = reader.history(account)
    paths = FolderPaths(history)
    return {
        ".".join(map(encode_modified_utf7, paths.of_item(item.item, state, None).names))
        for item, state in history.live(None)
        if state.type == ItemType.FOLDER
    }
