"""Content that is not stored yet, read from the bus: between what the blob's owner has made durable
and the place that the state names.
"""

from __future__ import annotations

import asyncio

from streambackup.bus.port import Bus, TopicPartition, partition_of
from streambackup.domain.digest import digest_of
from streambackup.domain.history import ItemState
from streambackup.errors import InvalidEventError, PositionLostError, TopicError
from streambackup.events.blob import Chunk
from streambackup.events.codec import decode_blob_event
from streambackup.journal.cover import find_cover
from streambackup.journal.life import Life
from streambackup.journal.segment import PartitionPath
from streambackup.reading.contents import BLOBS
from streambackup.reading.store_reader import StoreReader

RECORDS_AT_ONCE = 200


class BusContents:
    """The contents that the bus holds beyond what is stored. Blocking; use it in one thread."""

    def __init__(self, reader: StoreReader, bus: Bus) -> None:
        self._reader = reader
        self._bus = bus
        self._runner = asyncio.Runner()

    def close(self) -> None:
        self._runner.run(self._bus.close())
        self._runner.close()

    def read(self, state: ItemState) -> bytes | None:
        """The content that *state* names; None where the bus does not hold all of it.

        Raises:
            BusError: the bus cannot be read.
        """
        life = self._life_of(state)
        return None if life is None else self._runner.run(self._find(state, life))

    def _life_of(self, state: ItemState) -> Life | None:
        lives = self._reader.lives
        if state.content is None:
            return lives[-1] if lives else None
        return next((life for life in lives if life.generation == state.content.generation), None)

    async def _find(self, state: ItemState, life: Life) -> bytes | None:
        """The content, out of the chunks of whichever upload is whole."""
        assert state.digest is not None
        partition = partition_of(state.digest.encode(), life.blob_partitions)
        tp = TopicPartition(life.blobs_topic, partition)
        path = PartitionPath(self._reader.root, life.generation, BLOBS, partition)
        uploads: dict[str, bytearray] = {}
        try:
            bounds = (await self._bus.bounds([tp.topic]))[tp]
            offset = max(find_cover(path).end, bounds.begin)
            while records := await self._bus.read(tp, offset, records_max=RECORDS_AT_ONCE):
                for record in records:
                    if record.key == state.digest.encode():
                        content = _add_chunk(record.value, uploads)
                        if content is not None and digest_of(content) == state.digest:
                            return content
                offset = records[-1].offset + 1
        except (PositionLostError, TopicError):
            return None
        return None


def _add_chunk(value: bytes | None, uploads: dict[str, bytearray]) -> bytes | None:
    """Put a chunk to its upload; the upload's content if it is whole now."""
    try:
        event = decode_blob_event(value)
    except InvalidEventError:
        return None
    if not isinstance(event, Chunk):
        return None
    if event.offset == 0:
        uploads[event.upload] = bytearray()
    held = uploads.get(event.upload)
    if held is None or len(held) != event.offset:
        return None
    held += event.data
    return bytes(held) if len(held) == event.total else None
