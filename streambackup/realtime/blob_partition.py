"""One partition of ``mailbox.blobs`` in this worker's hands: uploads on their way,
and what a batch did.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from streambackup.blobs.assembly import Assembly
from streambackup.blobs.compression import CompressionSettings
from streambackup.blobs.index import DigestIndex
from streambackup.blobs.loose import LooseBlobs, LooseWriter
from streambackup.bus.port import Record
from streambackup.errors import InvalidEventError
from streambackup.events.blob import BlobEvent, Chunk
from streambackup.events.codec import decode_blob_event
from streambackup.journal.frame import LastRecord
from streambackup.journal.owner import PartitionOwner
from streambackup.journal.payload import Blobs, GivenUp, MetBlob, Quarantined, StoredBlob
from streambackup.realtime.place import Place
from streambackup.realtime.takeover import last_record
from streambackup.runtime.disk import Disk

Key = tuple[str, str]
"""Digest and upload id."""


class PartitionSettings(Protocol):
    @property
    def compression(self) -> CompressionSettings: ...
    @property
    def give_up_bytes(self) -> int: ...


class Finished(msgspec.Struct, frozen=True):
    """A complete upload.

    A small one has its ``content``; a big one its file and the digest it has.
    """

    digest: str
    size: int
    last_offset: int
    record: Quarantined
    content: bytes | None
    path: Path | None = None
    found: str | None = None
    stored_size: int = 0


class PendingUpload(msgspec.Struct, frozen=True):
    """An upload that keeps its partition's position from moving on."""

    partition: int
    digest: str
    upload: str
    first_offset: int
    received: int
    total: int


class LateUpload(msgspec.Struct, frozen=True):
    """An upload to be read again from ``first`` to ``end``;
    it holds the position at ``held_from``.
    """

    key: Key
    first: int
    end: int
    held_from: int


class Batch(msgspec.Struct, frozen=True):
    """What a batch did, and where the partition stands after it."""

    blobs: Blobs
    position: int
    last: LastRecord


class BlobPartition:
    """Blocking; one thread at a time."""

    def __init__(
        self,
        owner: PartitionOwner,
        place: Place,
        index: DigestIndex,
        root: Path,
        disk: Disk,
        settings: PartitionSettings,
        began_ms: int,
    ) -> None:
        self.owner = owner
        self._place = place
        self.index = index
        self.began_ms = began_ms
        self.writer = LooseWriter(root, f"{owner.path.partition}-{owner.epoch}", disk)
        self._blobs = LooseBlobs(root)
        self._settings = settings
        self._uploads: dict[Key, Assembly] = {}
        self._uncovered: deque[tuple[int, LastRecord]] = deque()
        self._read_to = owner.position
        self._seen_bytes = 0
        self._finished: list[Finished] = []
        self._clear()

    def _clear(self) -> None:
        self._stored: list[StoredBlob] = []
        self._met: list[MetBlob] = []
        self._given_up: list[GivenUp] = []
        self._quarantined: list[Quarantined] = []

    def assemble(self, records: Sequence[Record]) -> str | None:
        """Take *records* in; returns another generation's id where one is stamped with it."""
        for record in records:
            if record.offset < self._read_to:
                continue
            try:
                event = decode_blob_event(record.value)
                if self._place.is_foreign(event.generation):
                    return event.generation
                self._check_key(event, record.key)
                self._take(event, record)
            except InvalidEventError as error:
                self._quarantined.append(_set_aside(record, str(error)))
            self._uncovered.append((record.offset, last_record(record)))
            self._read_to = record.offset + 1
            self._seen_bytes += len(record.value or b"")
        self._give_up()
        return None

    def _check_key(self, event: BlobEvent, key: bytes | None) -> None:
        if key is None or event.digest.encode() != key:
            raise InvalidEventError("the record's key is not the event's digest")
        self._place.check(key, "digest")

    def _take(self, event: BlobEvent, record: Record) -> None:
        if not isinstance(event, Chunk):
            self._met.append(MetBlob(event.digest, record.offset))
            return
        key = (event.digest, event.upload)
        assembly = self._uploads.get(key)
        if event.offset and assembly is None:
            self._take_late(key, event, record)
        elif assembly is None or assembly.behind is None:
            self._add(key, event, record)

    def _take_late(self, key: Key, event: Chunk, record: Record) -> None:
        """A chunk of an upload that nobody waits for any more.

        Raises:
            InvalidEventError: it was never begun.
        """
        if self.index.known([event.digest]) and self._blobs.exists(event.digest):
            self._met.append(MetBlob(event.digest, record.offset))
            return
        first = self.index.given_up(*key)
        if first is None:
            raise InvalidEventError("the upload's beginning is missing")
        # From here on it holds the position again, until it was read from its first chunk.
        assembly = self._uploads[key] = Assembly(event, record.offset, self._seen_bytes)
        assembly.behind = first

    def _add(self, key: Key, event: Chunk, record: Record) -> None:
        """Take the next chunk of an upload; its first one begins it, or begins it again."""
        if event.offset == 0 and key in self._uploads:
            self._uploads.pop(key).drop(self.writer)
        assembly = self._uploads.get(key)
        if assembly is None:
            assembly = Assembly(event, record.offset, self._seen_bytes)
            self._uploads[key] = assembly
        try:
            assembly.add(event, record.offset, self.writer, self._settings.compression)
        except InvalidEventError:
            self._uploads.pop(key).drop(self.writer)
            raise
        assembly.seen_bytes = self._seen_bytes
        if assembly.complete:
            del self._uploads[key]
            self._finished.append(_finish(assembly, record))

    def to_read_again(self) -> list[LateUpload]:
        """Uploads whose rest came after they were given up."""
        return [
            LateUpload(key, assembly.behind, self._read_to, assembly.first_offset)
            for key, assembly in self._uploads.items()
            if assembly.behind is not None
        ]

    def read_again(self, late: LateUpload, records: Sequence[Record]) -> bool:
        """Take the upload's chunks among *records*;
        False once it is complete or cannot become so.
        """
        waiting = self._uploads.get(late.key)
        if waiting is not None and waiting.behind is not None:
            del self._uploads[late.key]
        for record in records:
            try:
                event = decode_blob_event(record.value)
                if isinstance(event, Chunk) and (event.digest, event.upload) == late.key:
                    self._add(late.key, event, record)
            except InvalidEventError as error:
                self._quarantined.append(_set_aside(record, str(error)))
                return False
        going_on = self._uploads.get(late.key)
        if going_on is not None:
            going_on.first_offset = late.held_from
        return going_on is not None or not records

    def _give_up(self) -> None:
        """Let the position pass uploads that nothing came for while enough else did."""
        for key, assembly in list(self._uploads.items()):
            if self._seen_bytes - assembly.seen_bytes > self._settings.give_up_bytes:
                del self._uploads[key]
                assembly.drop(self.writer)
                self._given_up.append(
                    GivenUp(*key, assembly.first_offset, assembly.received, assembly.total)
                )

    def fresh(self) -> list[Finished]:
        """Finished uploads of digests not stored yet; the others are noted as met.

        A blob that is known and gone is stored again: publishing its content is its cure.
        """
        finished, self._finished = self._finished, []
        known = self.index.known([one.digest for one in finished])
        known = {digest for digest in known if self._blobs.exists(digest)}
        fresh = []
        for one in finished:
            if one.digest in known:
                self._met.append(MetBlob(one.digest, one.last_offset))
                if one.path is not None:
                    self.writer.discard(one.path)
            else:
                fresh.append(one)
        return fresh

    def note_stored(self, blob: StoredBlob) -> None:
        """*blob* is durable: whatever else was on its way under its digest is not needed."""
        self._stored.append(blob)
        for key in [key for key in self._uploads if key[0] == blob.digest]:
            self._uploads.pop(key).drop(self.writer)

    def refuse(self, finished: Finished, reason: str) -> None:
        """The content is not what its key says: its last chunk goes to the quarantine,
        the rest is dropped.
        """
        if finished.path is not None:
            self.writer.discard(finished.path)
        self._quarantined.append(msgspec.structs.replace(finished.record, reason=reason))

    def batch(self) -> Batch | None:
        """What happened since the last call; None when nothing did."""
        position = min((a.first_offset for a in self._uploads.values()), default=self._read_to)
        last = self.owner.last
        while self._uncovered and self._uncovered[0][0] < position:
            last = self._uncovered.popleft()[1]
        blobs = Blobs(self._stored, self._met, self._given_up, self._quarantined)
        self._clear()
        said = blobs.stored or blobs.met or blobs.given_up or blobs.quarantined
        if position == self.owner.position and not said:
            return None
        return Batch(blobs, position, last)

    def pending(self) -> Iterator[PendingUpload]:
        for assembly in self._uploads.values():
            yield PendingUpload(
                self.owner.path.partition,
                assembly.digest,
                assembly.upload,
                assembly.first_offset,
                assembly.received,
                assembly.total,
            )

    def close(self) -> None:
        """Drop what is unfinished: whoever comes next reads it again from its first chunk."""
        for assembly in self._uploads.values():
            assembly.drop(self.writer)
        for finished in self._finished:
            if finished.path is not None:
                self.writer.discard(finished.path)
        self._uploads.clear()
        self.owner.seal()
        self.index.close()


def _set_aside(record: Record, reason: str) -> Quarantined:
    return Quarantined(record.offset, record.timestamp, reason, record.key, record.value)


def _finish(assembly: Assembly, record: Record) -> Finished:
    aside = _set_aside(record, "")
    if not assembly.big:
        content = assembly.content()
        return Finished(assembly.digest, assembly.total, record.offset, aside, content)
    path, found, stored_size = assembly.finish_big()
    return Finished(
        assembly.digest, assembly.total, record.offset, aside, None, path, found, stored_size
    )
