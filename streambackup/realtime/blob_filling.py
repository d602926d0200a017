"""Content that the topic does not hold any more, taken from other places by its digest.

Whoever does so owns the partitions of the digests, in epochs of its own; their journals say that
the content is stored, at the position they have reached.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import structlog

from streambackup.blobs.copying import CopiedBlob, copy_blob
from streambackup.blobs.loose import LooseBlobs, LooseWriter, put_in_place
from streambackup.bus.port import TopicPartition, partition_of
from streambackup.errors import BlobDamagedError, BlobMissingError
from streambackup.events.topics import BLOBS
from streambackup.journal.frame import FrameKind
from streambackup.journal.life import Life
from streambackup.journal.owner import PartitionOwner
from streambackup.journal.payload import Blobs, StoredBlob, encode_payload
from streambackup.realtime.blob_incoming import incoming_name
from streambackup.realtime.takeover import Takeover
from streambackup.runtime.disk import Disk

log = structlog.get_logger()


class _Filled(NamedTuple):
    owner: PartitionOwner
    writer: LooseWriter


class BlobFilling:
    """Fills the partitions of *life* from *sources*, asked in their order."""

    def __init__(
        self,
        sources: Sequence[LooseBlobs],
        *,
        root: Path,
        disk: Disk,
        takeover: Takeover,
        life: Life,
    ) -> None:
        self._sources = sources
        self._root = root
        self._disk = disk
        self._takeover = takeover
        self._life = life
        self._partitions: dict[int, _Filled] = {}

    async def fill(self, digests: Sequence[str]) -> list[str]:
        """Store those of *digests* that a source has; durable, and journalled, on return.

        Returns those found. May be repeated.

        Raises:
            BusError: a partition cannot be taken over. StoreError: the disk failed.
        """
        by_partition = defaultdict[int, list[str]](list)
        for digest in digests:
            partition = partition_of(digest.encode(), self._life.blob_partitions)
            by_partition[partition].append(digest)
            if partition not in self._partitions:
                self._partitions[partition] = await self._begin(partition)
        return await asyncio.to_thread(self._store, by_partition)

    async def _begin(self, partition: int) -> _Filled:
        tp = TopicPartition(self._life.blobs_topic, partition)
        owner = (await self._takeover.take(tp, BLOBS, self._life)).owner
        return _Filled(owner, LooseWriter(self._root, incoming_name(owner), self._disk))

    def _store(self, by_partition: dict[int, list[str]]) -> list[str]:
        copied = {
            partition: self._copy(digests, self._partitions[partition].writer)
            for partition, digests in by_partition.items()
        }
        put_in_place(
            self._root,
            self._disk,
            [(digest, blob.path) for blobs in copied.values() for digest, blob in blobs.items()],
        )
        for partition, blobs in copied.items():
            if blobs:
                _journal(self._partitions[partition].owner, blobs)
        return [digest for blobs in copied.values() for digest in blobs]

    def _copy(self, digests: Sequence[str], writer: LooseWriter) -> dict[str, CopiedBlob]:
        copied = {}
        for digest in digests:
            for source in self._sources:
                with contextlib.suppress(BlobMissingError):
                    try:
                        copied[digest] = copy_blob(source, digest, writer)
                        break
                    except BlobDamagedError as damaged:
                        log.warning("content_not_taken", digest=digest, reason=damaged.message)
        return copied

    def close(self) -> None:
        """Blocking. Leave the partitions to whoever owns them next."""
        for owner, writer in self._partitions.values():
            writer.close()
            owner.seal()
        self._partitions.clear()


def _journal(owner: PartitionOwner, blobs: dict[str, CopiedBlob]) -> None:
    """A frame of no offsets: the position stays where it is."""
    at = owner.position
    stored = [StoredBlob(digest, blob.size, blob.stored_size, at) for digest, blob in blobs.items()]
    payload = encode_payload(Blobs(stored, [], [], []))
    owner.append(FrameKind.BLOBS, payload, at, owner.last)
