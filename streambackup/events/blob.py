"""What travels on ``mailbox.blobs``, keyed by digest: content in chunks,
and references to content sent before.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from streambackup.events.mailbox import Count, Digest, Event

CHUNK_BYTES_MAX = 512 * 1024
BLOB_BYTES_MAX = 2**40


class Chunk(Event, kw_only=True, frozen=True, gc=False, tag="chunk"):
    """Bytes ``offset`` to ``offset + len(data)`` of a blob of ``total`` bytes.

    Chunks of one ``upload`` come in order, without hole or overlap; an empty blob is one empty
    chunk.
    """

    digest: Digest
    upload: Annotated[
        str, Meta(min_length=1, max_length=64, description="Names this attempt to send the blob.")
    ]
    offset: Count
    total: Annotated[int, Meta(ge=0, le=BLOB_BYTES_MAX)]
    data: Annotated[bytes, Meta(max_length=CHUNK_BYTES_MAX)]


class Reference(Event, kw_only=True, frozen=True, gc=False, tag="reference"):
    """A transaction that names this digest is about to follow; its content was sent earlier."""

    digest: Digest
    size: Count


BlobEvent = Chunk | Reference
"""Further kinds (claims, deletes, switches of volume) come with the volumes that need them."""
