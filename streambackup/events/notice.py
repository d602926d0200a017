"""What travels on ``mailbox.quarantine``: that a record could not be used, and was set aside.

A notice is a function of the record, so whoever repeats it says the same under the same ``id``.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from streambackup.domain.transaction import Generation
from streambackup.events.mailbox import SCHEMA, Count, TimeMs

NOTICE_KEY_BYTES_MAX = 4096
"""An account's id has no more; a longer key is no account's, and would not fit into a notice."""


class Notice(msgspec.Struct, kw_only=True, frozen=True, tag_field="event", tag="set-aside"):
    """A record could not be used and is kept in quarantine; nothing else happened to it.

    ``topic``, ``generation``, ``partition`` and ``offset`` are where it stands, ``published_ms``
    its timestamp, ``size`` the bytes of its value.
    """

    schema: Annotated[int, Meta(ge=1, le=SCHEMA, description="Version of this contract.")]
    id: Annotated[
        str,
        Meta(
            description="topic/generation/partition/offset: the same whenever this is repeated, and"
            " what `quarantine show` takes."
        ),
    ]
    topic: str
    generation: Generation
    partition: Count
    offset: Count
    published_ms: TimeMs
    size: Count
    reason: str


def encode_notice(notice: Notice) -> bytes:
    """JSON: for whoever reads the topic with other tools."""
    return msgspec.json.encode(notice)
