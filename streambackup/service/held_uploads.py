"""Uploads whose end has not come: the position of their partition waits at their first chunk."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from streambackup.bus.port import Bus, Record, TopicPartition
from streambackup.errors import InvalidEventError, PositionLostError
from streambackup.events.blob import Chunk
from streambackup.events.codec import decode_blob_event

READ_RECORDS = 500
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
    bus: Bus, positions: Iterable[tuple[TopicPartition, int]]
) -> list[HeldUpload]:
    """The upload that holds each position, where one does; *positions* are of blob partitions.

    A worker that is only behind is told apart by reading on, up to 64 MiB: if the rest of the
    upload is there, nothing holds it.

    Raises:
        BusError: the bus cannot be read.
    """
    found = [await _held_at(bus, tp, offset) for tp, offset in positions]
    return [held for held in found if held is not None]


async def _held_at(bus: Bus, tp: TopicPartition, position: int) -> HeldUpload | None:
    first: Chunk | None = None
    received = looked = 0
    offset = position
    while looked < LOOK_BYTES_MAX:
        try:
            records = await bus.read(tp, offset, records_max=READ_RECORDS)
        except PositionLostError:
            return None
        if not records:
            break
        for record in records:
            chunk = _chunk(record)
            if first is None:
                if chunk is None or chunk.offset != 0:
                    return None
                first = chunk
            if chunk is not None and (chunk.digest, chunk.upload) == (first.digest, first.upload):
                received += len(chunk.data)
            looked += len(record.value or b"")
        if first is not None and received >= first.total:
            return None
        offset = records[-1].offset + 1
    if first is None:
        return None
    return HeldUpload(
        partition=tp.partition,
        offset=position,
        digest=first.digest,
        upload=first.upload,
        received=received,
        total=first.total,
    )


def _chunk(record: Record) -> Chunk | None:
    try:
        event = decode_blob_event(record.value)
    except InvalidEventError:
        return None
    return event if isinstance(event, Chunk) else None
