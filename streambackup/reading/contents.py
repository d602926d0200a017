"""Content behind digests: stored, still on its way, or missing."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING

from streambackup.blobs.loose import LooseBlobs
from streambackup.bus.port import partition_of
from streambackup.domain.history import ItemState
from streambackup.errors import BlobMissingError, BlobPendingError
from streambackup.events.topics import BLOBS
from streambackup.journal.cover import Cover, find_cover
from streambackup.journal.segment import PartitionPath
from streambackup.reading.lives import last_path, newest_named
from streambackup.reading.store_reader import StoreReader

if TYPE_CHECKING:
    from streambackup.reading.arrivals import Arrivals


class Standing(StrEnum):
    NONE = "none"
    STORED = "stored"
    PENDING = "pending"
    MISSING = "missing"


def blobs_path(reader: StoreReader, state: ItemState, digest: str) -> PartitionPath | None:
    """The journal of the partition that *state*'s content comes through; None before the first."""
    lives = reader.lives
    if state.content is not None:
        generation, partition = state.content.generation, state.content.partition
    else:
        named = newest_named(lives)
        if named is None:
            return None
        generation = named.generation
        partition = partition_of(digest.encode(), named.blob_partitions)
    return last_path(reader.root, lives, generation, BLOBS, partition)


class Contents:
    """The contents of a store, as its reader sees them; blocking.

    A partition's position is read before a blob is looked for: a blob that is absent although the
    position went past it did not arrive in between.
    """

    def __init__(self, reader: StoreReader) -> None:
        self._reader = reader
        self._blobs = LooseBlobs(reader.root)
        self._covers: dict[PartitionPath, Cover] = {}

    @cached_property
    def _arrivals(self) -> Arrivals:
        # Imported here because it brings SQLite, and is asked only where content is absent.
        from streambackup.reading.arrivals import Arrivals

        return Arrivals(self._reader.root, self._reader.lives)

    def standing(self, state: ItemState) -> Standing:
        """Whether the content that *state* names is stored, pending or missing;
        none where it names none.
        """
        if state.digest is None:
            return Standing.NONE
        passed = self._passed(state, state.digest)
        if self._blobs.exists(state.digest):
            return Standing.STORED
        return Standing.MISSING if passed else Standing.PENDING

    def _passed(self, state: ItemState, digest: str) -> bool:
        """Whether the blob's owner has read beyond the place where its content was published.

        What was published before the topic was made anew was so before all that it holds now.
        """
        path = blobs_path(self._reader, state, digest)
        if path is None:
            return False
        cover = self._covers.get(path)
        if cover is None:
            cover = self._covers[path] = find_cover(path)
        place = state.content
        if place is not None and cover.end > place.offset:
            return True
        if place is not None and place.generation == path.generation:
            return False
        return cover.last.published_ms > state.published_ms

    def pieces(self, state: ItemState) -> Iterator[bytes]:
        """The content of *state*, verified; nothing where it names none.

        Raises:
            BlobMissingError, BlobPendingError: it is not stored. BlobDamagedError: it is not what
            it should be.
        """
        if state.digest is None:
            return
        standing = self.standing(state)
        if standing is Standing.PENDING:
            raise BlobPendingError(
                f"the content {state.digest} is still on its way into the store",
                hint="Try again when the service has caught up; see 'streambackup status'.",
            )
        if standing is Standing.MISSING:
            gone = "was stored, and its file is gone"
            became = gone if state.digest in self._arrivals else "never arrived in the store"
            raise BlobMissingError(
                f"the content {state.digest} {became}",
                hint="'streambackup check' lists what is missing.",
            )
        yield from self._blobs.pieces(state.digest)
