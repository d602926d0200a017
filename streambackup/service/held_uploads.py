"""Uploads whose end has not come: the position of their partition waits at their first chunk."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

import msgspec

from streambackup.bus.port import Bus, Record, TopicPartition
from streambackup.errors import InvalidEventError, PositionLostError
from streambackup.events.blob import Chunk
from streambackup.events.codec import decode_blob_event

READ_RECORDS = 50
LOOK_BYTES_MAX = 64 * 1024 * 1024


class HeldUpload(msgspec.Struct, frozen=True, kw_only=True):
    """An upload that keeps its partition's position from moving on."""

    partition: int
    offset: int
    digest: str
    upload: str
    received: int
    total: int


async def find_held_uploads(
    bus: Bus, positions: Iterable[tuple[TopicPartition, int]], *, bytes_max: int = LOOK_BYTES_MAX
) -> AsyncIterator[HeldUpload]:
    """The upload that holds each position, where one does; *positions* are of blob partitions.

    A worker that is only behind is told apart by reading on, up to *bytes_max* of all partitions
    together: if the rest of the upload is there, nothing holds it. Of those that were not come to
    nothing is said.

    Raises:
        BusError: the bus cannot be read.
    """
    left = bytes_max
    for tp, position in positions:
        held, looked = await _held_at(bus, tp, position, left)
        whole_look = looked < left or left == bytes_max
        if held is not None and whole_look:
            yield held
        left -= looked
        if left <= 0:
            return


async def _held_at(
    bus: Bus, tp: TopicPartition, position: int, bytes_max: int
) -> tuple[HeldUpload | None, int]:
    """What holds *position*, and how many bytes were read to find out."""
    first: Chunk | None = None
    received = looked = 0
    offset = position
    while looked < bytes_max:
        try:
            records = await bus.read(tp, offset, records_max=READ_RECORDS)
        except PositionLostError:
            return None, looked
        if not records:
            break
        for record in records:
            looked += len(record.value or b"")
            chunk = _chunk(record)
            if first is None:
                if chunk is None or chunk.offset != 0:
                    return None, looked
                first = chunk
            if chunk is not None and (chunk.digest, chunk.upload) == (first.digest, first.upload):
                received += len(chunk.data)
        if first is not None and received >= first.total:
            return None, looked
        offset = records[-1].offset + 1
    if first is None:
        return None, looked
    held = HeldUpload(
        partition=tp.partition,
        offset=position,
        digest=first.digest,
        upload=first.upload,
        received=received,
        total=first.total,
    )
    return held, looked


def _chunk(record: Record) -> Chunk | None:
    try:
        event = decode_blob_event(record.value)
    except InvalidEventError:
        return None
    return event if isinstance(event, Chunk) else None
