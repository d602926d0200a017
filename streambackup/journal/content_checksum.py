"""The content checksum: tells an honest re-send of a transaction from another one under the same
id.

Generation, publish time and the content's position are left out, because a re-send may change them.
"""

from __future__ import annotations

import msgspec

from streambackup.domain.crc import crc32c, crc32c_extend
from streambackup.events.mailbox import (
    AccountDelete,
    Delete,
    EmptyFolder,
    FolderDelete,
    Marker,
    Put,
)

_encode = msgspec.msgpack.Encoder().encode


def content_checksum(
    event: Put | Delete | EmptyFolder | FolderDelete | AccountDelete | Marker,
) -> int:
    """CRC-32C over what *event* says; for a put, over its state's bytes as they came, too."""
    if type(event) is Put:
        head = (
            "put",
            event.item,
            event.time_ms,
            event.change,
            event.after,
            event.digest,
            event.size,
        )
        return crc32c_extend(crc32c(_encode(head)), bytes(event.state))
    rest = msgspec.structs.asdict(event)
    for name in ("generation", "account", "source", "incarnation", "sequence", "schema"):
        rest.pop(name, None)
    return crc32c(_encode([event.__struct_config__.tag, sorted(rest.items())]))
