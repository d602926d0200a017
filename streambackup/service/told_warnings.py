"""What a running service has to say, for commands that cannot ask it: it may listen nowhere."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from streambackup.runtime.disk import Disk
from streambackup.service.store_home import StoreHome
from streambackup.service.store_lock import watches_sources

WARNINGS_FILE = "warnings.json"
NOT_SAID = "the service has not said yet what its sources cannot read"


def tell_warnings(home: StoreHome, warnings: Sequence[str], disk: Disk) -> None:
    """Replace what this node's service that watches its sources told before. Blocking.

    Raises:
        NoSpaceError, StoreError: it still stands.
    """
    disk.replace(home.state / WARNINGS_FILE, msgspec.json.encode(warnings) + b"\n")


def told_warnings(home: StoreHome) -> list[str]:
    """What this node's service that watches its sources told last; nothing where none does.
    Blocking.
    """
    if not watches_sources(home.state):
        return []
    try:
        return msgspec.json.decode((home.state / WARNINGS_FILE).read_bytes(), type=list[str])
    except (FileNotFoundError, msgspec.MsgspecError, UnicodeDecodeError):
        return [NOT_SAID]
