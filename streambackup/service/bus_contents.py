"""Content that is not stored yet, read from the bus: between what the blob's owner has made durable
and the place that the state names.
"""

from __future__ import annotations

import asyncio

from streambackup.bus.port import Bus, TopicPartition
from streambackup.domain.digest import digest_of
from streambackup.domain.history import ItemState
from streambackup.errors import InvalidEventError, PositionLostError, TopicError
from streambackup.events.blob import Chunk
from streambackup.events.codec import decode_blob_event
from streambackup.journal.cover import find_cover
from streambackup.journal.segment import PartitionPath
from streambackup.reading.contents import blobs_path
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
        assert state.digest is not None
        path = blobs_path(self._reader, state, state.digest)
        lives = {life.generation: life for life in self._reader.lives}
        if path is None or path.generation not in lives:
            return None
        tp = TopicPartition(lives[path.generation].blobs_topic, path.partition)
        return self._runner.run(self._find(state, tp, path))

    async def _find(
        self, state: ItemState, tp: TopicPartition, path: PartitionPath
    ) -> bytes | None:
        """The content, out of the chunks of whichever upload is whole."""
        assert state.digest is not None
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
