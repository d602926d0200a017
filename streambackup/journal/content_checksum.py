"""The content checksum: tells an honest re-send of a transaction from another one under the same
id.

Generation, publish time and the content's position are left out, because a re-send may change them.
"""

from __future__ import annotations

import msgspec

from streambackup.domain.crc import crc32c
from streambackup.events.mailbox import MailboxEvent, Put

_encode = msgspec.msgpack.Encoder().encode
_LEFT_OUT = frozenset({"schema", "generation", "account", "source", "incarnation", "sequence"})


def content_checksum(event: MailboxEvent) -> int:
    """CRC-32C over what *event* says, its id and place apart."""
    if type(event) is Put:
        said: tuple[object, ...] = (
            "put",
            event.item,
            event.time_ms,
            event.change,
            event.after,
            event.digest,
            event.size,
            event.state,
        )
    else:
        fields = msgspec.structs.asdict(event)
        named = sorted(fields.items())
        said = (event.__struct_config__.tag, *(pair for pair in named if pair[0] not in _LEFT_OUT))
    return crc32c(_encode(said))
