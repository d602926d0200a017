"""The blob worker: content from the bus into the default volume.

assemble chunks -> verify the digest -> known? only note that it was met -> compress -> store, one
sync for all
-> journal with the position. The position never passes the first chunk of an unfinished upload.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path

import msgspec

from streambackup.blobs.compression import CompressionSettings, encode_blob
from streambackup.blobs.index import DigestIndex
from streambackup.bus.port import Bus, Record
from streambackup.domain.digest import digest_name
from streambackup.errors import NoSpaceError, PositionLostError
from streambackup.journal.frame import FrameKind
from streambackup.journal.payload import Blobs, StoredBlob, encode_payload
from streambackup.outbox.content import passes
from streambackup.realtime.blob_partition import BlobPartition, Finished, PendingUpload
from streambackup.realtime.blob_replay import replay_journal
from streambackup.realtime.stream_worker import Outcome, Turn
from streambackup.runtime.clock import Clock
from streambackup.runtime.disk import Disk
from streambackup.runtime.metrics import Metrics
from streambackup.runtime.retry import keep_trying

BLOBS = "mailbox.blobs"
"""The journal's name for the topic, whatever a generation calls it on the bus."""
AT_ONCE = 32
"""Blobs handed to a thread together: a thread per small blob costs more than it does."""


READ_AGAIN_RECORDS = 64


class BlobWorkerSettings(msgspec.Struct, frozen=True, kw_only=True):
    compression: CompressionSettings = CompressionSettings()
    give_up_bytes: int = 64 * 1024 * 1024
    segment_bytes: int = 64 * 1024 * 1024
    segment_age_ms: int = 3600 * 1000


class _Encoded(msgspec.Struct, frozen=True):
    """A finished upload in its stored form;
    ``wrong`` is the digest it has where that is another.
    """

    finished: Finished
    data: bytes | None
    path: Path | None
    stored_size: int
    wrong: str | None


class BlobWorker:
    """Handler of ``mailbox.blobs`` for the default volume."""

    journal_topic = BLOBS
    gather_bytes = 32 * 1024 * 1024  # A batch of any size is stored with two syncs.

    def __init__(
        self,
        *,
        root: Path,
        state: Path,
        disk: Disk,
        clock: Clock,
        settings: BlobWorkerSettings,
        metrics: Metrics,
        threads: Executor,
        bus: Bus,
    ) -> None:
        self._root = root
        self._state = state
        self._disk = disk
        self._clock = clock
        self._settings = settings
        self._metrics = metrics
        self._threads = threads
        self._bus = bus
        self._open: dict[Turn, BlobPartition] = {}

    def began(self, turn: Turn, filed_to: int) -> int:
        del filed_to  # Blob journals are kept: nothing of them is ever filed.
        file = self._state / f"blobs-{turn.tp.partition}.sqlite"
        index = DigestIndex(file)
        replay_journal(turn.owner.path, index)
        self._open[turn] = BlobPartition(
            turn.owner,
            turn.place(turn.life.blob_partitions),
            index,
            self._root,
            self._disk,
            self._settings,
            self._clock.now_ms(),
        )
        return turn.owner.position

    def take(self, batches: Sequence[tuple[Turn, Sequence[Record]]]) -> list[Outcome]:
        """One batch of every partition: all stored with one sync, then each partition's journal."""
        outcomes, taken = [], []
        for turn, records in batches:
            partition = self._open[turn]
            try:
                foreign = partition.assemble(records)
            except NoSpaceError as error:
                outcomes.append(Outcome(turn, full=error))
                continue
            taken.append(turn)
            if foreign is not None:
                outcomes.append(Outcome(turn, foreign=foreign))
        try:
            self._store(taken)
        except NoSpaceError as error:
            return [Outcome(turn, full=error) for turn, _ in batches]
        for turn in taken:
            try:
                self._journal(self._open[turn])
            except NoSpaceError as error:
                outcomes.append(Outcome(turn, full=error))
        self._metrics.pending_uploads.set(len(self.pending_uploads()))
        return outcomes

    def _store(self, turns: Iterable[Turn]) -> None:
        """Verify, compress and store what the partitions have finished."""
        partitions = [self._open[turn] for turn in turns]
        work = [(partition, finished) for partition in partitions for finished in partition.fresh()]
        encoded = self._encode_all([finished for _, finished in work])
        small, big = [], []
        for (partition, finished), blob in zip(work, encoded, strict=True):
            if blob.wrong is not None:
                partition.refuse(finished, f"the content is {blob.wrong}, not what the key says")
                continue
            stored = StoredBlob(
                finished.digest, finished.size, blob.stored_size, finished.last_offset
            )
            partition.note_stored(stored)
            if blob.data is not None:
                small.append((finished.digest, blob.data))
            elif blob.path is not None:
                big.append((finished.digest, blob.path))
        if small or big:
            partitions[0].writer.store(small, big)

    def _encode_all(self, finished: list[Finished]) -> list[_Encoded]:
        groups = [finished[at : at + AT_ONCE] for at in range(0, len(finished), AT_ONCE)]
        compression = self._settings.compression
        done = self._threads.map(lambda group: [_encode(one, compression) for one in group], groups)
        return [blob for group in done for blob in group]

    def _journal(self, partition: BlobPartition) -> None:
        """Append what the batch did, with the position; then the index, which may lag behind it."""
        batch = partition.batch()
        if batch is None:
            return
        owner = partition.owner
        owner.append(FrameKind.BLOBS, encode_payload(batch.blobs), batch.position, batch.last)
        assert owner.segment is not None
        partition.index.apply([batch.blobs], str(owner.segment), owner.segment_bytes)
        self._count(batch.blobs)

    def _count(self, blobs: Blobs) -> None:
        self._metrics.blobs_stored.inc(len(blobs.stored))
        self._metrics.blobs_met.inc(len(blobs.met))
        self._metrics.blob_bytes_received.inc(sum(blob.size for blob in blobs.stored))
        self._metrics.blob_bytes_stored.inc(sum(blob.stored_size for blob in blobs.stored))
        self._metrics.quarantined.labels(BLOBS).inc(len(blobs.quarantined))

    async def tick(self, turns: Collection[Turn]) -> list[Outcome]:
        now_ms = self._clock.now_ms()
        outcomes = []
        for turn in turns:
            partition = self._open[turn]
            if partition.to_read_again():
                try:
                    outcomes += await self._catch_up(turn, partition)
                except NoSpaceError as error:
                    outcomes.append(Outcome(turn, full=error))
                    continue
            full = turn.owner.segment_bytes >= self._settings.segment_bytes
            if full or now_ms - partition.began_ms >= self._settings.segment_age_ms:
                turn.owner.seal()
                partition.began_ms = now_ms
        return outcomes

    async def _catch_up(self, turn: Turn, partition: BlobPartition) -> list[Outcome]:
        """Read uploads again whose rest came after they were given up; store what is complete."""
        for late in partition.to_read_again():
            at, going_on = late.first, True
            while going_on and at < late.end:
                read = partial(self._bus.read, turn.tp, at, records_max=READ_AGAIN_RECORDS)
                try:
                    records = await keep_trying(read, passing=passes, what="read an upload again")
                except PositionLostError as lost:
                    at = max(at + 1, lost.begin)
                    continue
                if not records:
                    break
                at = records[-1].offset + 1
                chunks = [record for record in records if record.key == late.key[0].encode()]
                if chunks:
                    going_on = await asyncio.to_thread(partition.read_again, late, chunks)
        return await asyncio.to_thread(self.take, [(turn, [])])

    async def ended(self, turns: Collection[Turn], *, drained: bool) -> None:
        del drained  # A sealed blob journal leaves a successor nothing to do.
        for turn in turns:
            await asyncio.to_thread(self._open.pop(turn).close)

    def pending_uploads(self) -> list[PendingUpload]:
        """Uploads whose chunks have not all come, and where each holds its partition's position."""
        return [upload for partition in self._open.values() for upload in partition.pending()]


def _encode(finished: Finished, settings: CompressionSettings) -> _Encoded:
    """Check a finished upload against its digest and bring it into its stored form. In a thread."""
    if finished.content is None:
        wrong = finished.found if finished.found != finished.digest else None
        return _Encoded(finished, None, finished.path, finished.stored_size, wrong)
    found = digest_name(hashlib.sha256(finished.content).digest())
    if found != finished.digest:
        return _Encoded(finished, None, None, 0, found)
    data = encode_blob(finished.content, settings)
    return _Encoded(finished, data, None, len(data), None)
