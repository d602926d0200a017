"""The blob worker: content from the bus into the default volume.

assemble chunks -> verify the digest -> known? only note that it was met -> compress -> store, one
sync for all
-> journal with the position. The position never passes the first chunk of an unfinished upload.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import Executor, wait
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec
import structlog

from streambackup.blobs.assembly import Assembly
from streambackup.blobs.compression import CompressionSettings
from streambackup.blobs.loose import (
    LooseWriter,
    TakenAwayError,
    clear_incoming,
    put_in_place,
)
from streambackup.bus.port import Bus, Record, TopicPartition
from streambackup.errors import BusError, NoSpaceError, PositionLostError
from streambackup.events.topics import BLOBS, TOPIC_PREFIX
from streambackup.journal.frame import FrameKind
from streambackup.journal.owner import PartitionOwner
from streambackup.journal.payload import Blobs, encode_payload
from streambackup.outbox.content import passes
from streambackup.realtime.blob_incoming import is_superseded
from streambackup.realtime.blob_partition import BlobPartition
from streambackup.realtime.blob_replay import open_index
from streambackup.realtime.turn import Outcome, Turn
from streambackup.runtime.clock import Clock
from streambackup.runtime.disk import Disk
from streambackup.runtime.metrics import Metrics

log = structlog.get_logger()

T = TypeVar("T")

SHARE_BYTES = 512 * 1024
"""Content handed to a thread together: a thread per small blob costs more than it does."""
BLOB_COST_BYTES = 4 * 1024
"""What a blob costs besides its content, in bytes of content."""
READ_AGAIN_RECORDS = 64
READ_AGAIN_S = 0.25
"""After so long, reading uploads again lets other partitions have their turn."""

Write = tuple[Assembly, LooseWriter]


class BlobWorkerSettings(msgspec.Struct, frozen=True, kw_only=True):
    compression: CompressionSettings = CompressionSettings()
    give_up_bytes: int = 64 * 1024 * 1024
    segment_bytes: int = 64 * 1024 * 1024
    segment_age_ms: int = 3600 * 1000


class BlobWorker:
    """Handler of ``mailbox.blobs`` for the default volume."""

    journal_topic = BLOBS
    gather_bytes = 32 * 1024 * 1024  # A batch of any size is stored with two syncs.
    by_partition = False

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

    def owners(self) -> list[PartitionOwner]:
        """Of the partitions in hand."""
        return [turn.owner for turn in list(self._open)]  # A turn may begin in another thread.

    def began(self, turn: Turn, filed_to: int) -> int:
        del filed_to  # Blob journals are kept: nothing of them is ever filed.
        is_dead = partial(is_superseded, owner=turn.owner, predecessor=turn.life.predecessor)
        clear_incoming(self._root, is_dead, self._disk)
        topic, number = turn.tp
        file = self._state / f"{topic.removeprefix(TOPIC_PREFIX)}-{number}.sqlite"
        index = open_index(file, turn.owner.path, topic)
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
        outcomes = []
        for turn, records in batches:
            foreign = self._open[turn].assemble(records)
            if foreign is not None:
                outcomes.append(Outcome(turn, foreign=foreign))
        try:
            self._store([self._open[turn] for turn, _ in batches])
        except NoSpaceError as error:
            return [Outcome(turn, full=error) for turn, _ in batches]
        except TakenAwayError as error:  # Not told whose: all that is not journalled is read again.
            return [Outcome(turn, superseded=error) for turn, _ in batches]
        for full in self._in_threads([partial(self._journal, turn) for turn, _ in batches]):
            outcomes += full
        open_now = list(self._open.values())  # A turn may begin meanwhile, in another thread.
        self._metrics.pending_uploads.set(sum(partition.pending for partition in open_now))
        return outcomes

    def _store(self, partitions: Sequence[BlobPartition]) -> None:
        """Verify, compress and store what the partitions have finished."""
        fresh = [(partition, one) for partition in partitions for one in partition.fresh()]
        writes = [(one.upload, partition.writer) for partition, one in fresh]
        writes += [
            (up, partition.writer) for partition in partitions for up in partition.to_write()
        ]
        try:
            self._in_threads([partial(self._write, share) for share in _shares(writes)])
            accepted = [partition.accept(one) for partition, one in fresh]
            written = [blob for blob in accepted if blob is not None]
            put_in_place(self._root, self._disk, written)
        except NoSpaceError:
            for upload, writer in writes:
                upload.drop(writer)
            raise

    def _write(self, share: Sequence[Write]) -> None:
        for upload, writer in share:
            upload.write(writer, self._settings.compression)

    def _in_threads(self, calls: Sequence[Callable[[], T]]) -> list[T]:
        """What the *calls* return. Where one raises, the others are at their end too."""
        begun = [self._threads.submit(call) for call in calls]
        wait(begun)
        return [one.result() for one in begun]

    def _journal(self, turn: Turn) -> list[Outcome]:
        """Append what the batch did, with the position; then the index, which may lag behind it."""
        partition, owner = self._open[turn], turn.owner
        batch = partition.batch()
        if batch is None:
            return []
        try:
            owner.append(FrameKind.BLOBS, encode_payload(batch.blobs), batch.position, batch.last)
            assert owner.segment is not None
            partition.index.apply([batch.blobs], str(owner.segment), owner.segment_bytes)
        except NoSpaceError as error:
            return [Outcome(turn, full=error)]
        self._count(batch.blobs)
        return []

    def _count(self, blobs: Blobs) -> None:
        self._metrics.blobs_stored.inc(len(blobs.stored))
        self._metrics.blobs_met.inc(len(blobs.met))
        self._metrics.blob_bytes_received.inc(sum(blob.size for blob in blobs.stored))
        self._metrics.blob_bytes_stored.inc(sum(blob.stored_size for blob in blobs.stored))
        self._metrics.quarantined.labels(BLOBS).inc(len(blobs.quarantined))

    async def tick(self, turns: Collection[Turn]) -> list[Outcome]:
        until_s = self._clock.monotonic_s() + READ_AGAIN_S
        outcomes = []
        try:
            for turn in turns:
                outcomes += await self._catch_up(turn, until_s)
        except BusError as away:
            if not passes(away):
                raise
            # Batches and a stop do not wait for it: what is late still is so at the next tick.
            log.warning("bus_away", topic=BLOBS, reason=away.message)
        self._seal_due(turns)
        return outcomes

    def _seal_due(self, turns: Iterable[Turn]) -> None:
        now_ms = self._clock.now_ms()
        for turn in turns:
            partition = self._open[turn]
            full = turn.owner.segment_bytes >= self._settings.segment_bytes
            if full or now_ms - partition.began_ms >= self._settings.segment_age_ms:
                turn.owner.seal()
                partition.began_ms = now_ms

    async def _catch_up(self, turn: Turn, until_s: float) -> list[Outcome]:
        """Read uploads again whose rest came after they were given up; store what is complete.

        At least a piece of each, more while there is time.

        Raises:
            BusError: the bus cannot be read; what was completed goes with the next batch.
        """
        partition = self._open[turn]
        outcomes: list[Outcome] = []
        while (late := partition.late()) and not outcomes:
            for upload in late:
                records, read_to = await self._piece(turn.tp, upload)
                await asyncio.to_thread(partition.read_again, upload, records, read_to)
            outcomes = await asyncio.to_thread(self.take, [(turn, [])])
            if self._clock.monotonic_s() >= until_s:
                break
        return outcomes

    async def _piece(self, tp: TopicPartition, late: Assembly) -> tuple[Sequence[Record], int]:
        """Some of what *late* has to be looked for in, and where to read on."""
        assert late.behind is not None
        try:
            records = await self._bus.read(tp, late.behind, records_max=READ_AGAIN_RECORDS)
        except PositionLostError as lost:
            return [], max(late.behind + 1, lost.begin)
        if not records:
            return [], sys.maxsize
        mine = [record for record in records if record.key == late.digest.encode()]
        return mine, records[-1].offset + 1

    async def ended(self, turns: Collection[Turn], *, drained: bool) -> None:
        del drained  # A sealed blob journal leaves a successor nothing to do.
        for turn in turns:
            await asyncio.to_thread(self._open.pop(turn).close)


def _shares(writes: Iterable[Write]) -> list[list[Write]]:
    """*writes* in their order, cut into what a thread does at once."""
    shares: list[list[Write]] = []
    room = 0
    for write in writes:
        if room <= 0:
            shares.append([])
            room = SHARE_BYTES
        shares[-1].append(write)
        room -= BLOB_COST_BYTES + write[0].held_bytes
    return shares
