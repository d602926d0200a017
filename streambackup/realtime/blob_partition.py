"""One partition of ``mailbox.blobs`` in this worker's hands: uploads on their way,
and what a batch did.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

from streambackup.blobs.assembly import Assembly, Hold
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
from streambackup.journal.place import Place
from streambackup.realtime.blob_incoming import incoming_name
from streambackup.realtime.takeover import last_record
from streambackup.runtime.disk import Disk

Key = tuple[str, str]
"""Digest and upload id."""


class PartitionSettings(Protocol):
    @property
    def compression(self) -> CompressionSettings: ...
    @property
    def give_up_bytes(self) -> int: ...


class Finished(NamedTuple):
    """A complete upload, and its last record for the quarantine."""

    upload: Assembly
    record: Quarantined


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
        self.writer = LooseWriter(root, incoming_name(owner), disk)
        self._blobs = LooseBlobs(root)
        self._settings = settings
        self._uploads: dict[Key, Assembly] = {}
        self.read_to = owner.position
        self._last = owner.last
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
            if record.offset < self.read_to:
                continue
            try:
                event = decode_blob_event(record.value)
                if self._place.is_foreign(event.generation):
                    return event.generation
                self._check_key(event, record.key)
                self._take(event, record)
            except InvalidEventError as error:
                self._quarantined.append(_set_aside(record, str(error)))
            self._last = last_record(record)
            self.read_to = record.offset + 1
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
        assembly = Assembly(event, first, Hold(record.offset, self._last))
        assembly.behind = first
        self._uploads[key] = assembly

    def _add(self, key: Key, event: Chunk, record: Record) -> None:
        """Take the next chunk of an upload; its first one begins it, or begins it again.

        Raises:
            InvalidEventError: it does not fit; the upload is dropped.
        """
        assembly = self._uploads.get(key)
        if assembly is None or (event.offset == 0 and assembly.received):
            assembly = self._begin(key, event, record)
        try:
            assembly.add(event, record.offset)
        except InvalidEventError:
            self._uploads.pop(key).drop(self.writer)
            raise
        assembly.seen_bytes = self._seen_bytes
        if assembly.complete:
            del self._uploads[key]
            self._finished.append(Finished(assembly, _set_aside(record, "")))

    def _begin(self, key: Key, event: Chunk, record: Record) -> Assembly:
        before = self._uploads.pop(key, None)
        assembly = Assembly(event, record.offset, Hold(record.offset, self._last))
        if before is not None:
            before.drop(self.writer)
            if before.behind is not None:
                assembly.hold, assembly.behind = before.hold, before.behind
        self._uploads[key] = assembly
        return assembly

    def late(self) -> list[Assembly]:
        """Uploads whose rest came after they were given up: to be read again from ``behind``."""
        return [upload for upload in self._uploads.values() if upload.behind is not None]

    def read_again(self, late: Assembly, records: Sequence[Record], read_to: int) -> None:
        """Take the chunks of *late* among *records*, behind which it is read on from *read_to*.

        What no batch has brought yet is left to the batches: the next one may hold it already.
        """
        key = (late.digest, late.upload)
        for record in records:
            if record.offset >= self.read_to:
                break
            try:
                event = decode_blob_event(record.value)
                if isinstance(event, Chunk) and (event.digest, event.upload) == key:
                    self._add(key, event, record)
            except InvalidEventError as error:
                self._quarantined.append(_set_aside(record, str(error)))
            if key not in self._uploads:  # It is complete, or cannot become so.
                return
        going_on = self._uploads[key]
        going_on.behind = read_to if read_to < self.read_to else None
        going_on.seen_bytes = self._seen_bytes

    def _give_up(self) -> None:
        """Let the position pass uploads that nothing came for while enough else did."""
        for key, assembly in list(self._uploads.items()):
            if assembly.behind is not None:
                continue
            if self._seen_bytes - assembly.seen_bytes > self._settings.give_up_bytes:
                del self._uploads[key]
                assembly.drop(self.writer)
                self._given_up.append(
                    GivenUp(*key, assembly.first_offset, assembly.received, assembly.total)
                )

    def to_write(self) -> list[Assembly]:
        """Unfinished uploads that hold something for their file."""
        return [upload for upload in self._uploads.values() if upload.held_bytes]

    def fresh(self) -> list[Finished]:
        """Finished uploads of digests not stored yet; the others are noted as met.

        A blob that is known and gone is stored again: publishing its content is its cure.
        """
        finished, self._finished = self._finished, []
        known = self.index.known([one.upload.digest for one in finished])
        known = {digest for digest in known if self._blobs.exists(digest)}
        fresh = []
        for one in finished:
            if one.upload.digest in known:
                self._met.append(MetBlob(one.upload.digest, one.upload.last_offset))
                one.upload.drop(self.writer)
            else:
                fresh.append(one)
        return fresh

    def accept(self, finished: Finished) -> tuple[str, Path] | None:
        """Note as stored what is about to be put in its place: its digest, and the file it is in.

        Where the content is not what its key says its last chunk goes to the quarantine, the rest
        is dropped.
        """
        upload = finished.upload
        if upload.found != upload.digest or upload.path is None:
            reason = f"the content is {upload.found}, not what the key says"
            self._quarantined.append(msgspec.structs.replace(finished.record, reason=reason))
            upload.drop(self.writer)
            return None
        self._stored.append(
            StoredBlob(upload.digest, upload.total, upload.stored_size, upload.last_offset)
        )
        # Whatever else is on its way under the digest is not needed.
        for key in [key for key in self._uploads if key[0] == upload.digest]:
            self._uploads.pop(key).drop(self.writer)
        return upload.digest, upload.path

    def batch(self) -> Batch | None:
        """What happened since the last call; None when nothing did."""
        holds = [upload.hold for upload in self._uploads.values()]
        here = Hold(self.read_to, self._last)
        position, last = min(holds, key=lambda hold: hold.offset, default=here)
        blobs = Blobs(self._stored, self._met, self._given_up, self._quarantined)
        self._clear()
        said = blobs.stored or blobs.met or blobs.given_up or blobs.quarantined
        if position == self.owner.position and not said:
            return None
        return Batch(blobs, position, last)

    @property
    def pending(self) -> int:
        """Uploads whose chunks have not all come, each of which holds the position."""
        return len(self._uploads)

    def close(self) -> None:
        """Drop what is unfinished: whoever comes next reads it again from its first chunk."""
        for assembly in self._uploads.values():
            assembly.drop(self.writer)
        self._uploads.clear()
        self.writer.close()
        self.owner.seal()
        self.index.close()


def _set_aside(record: Record, reason: str) -> Quarantined:
    return Quarantined(record.offset, record.timestamp, reason, record.key, record.value)
