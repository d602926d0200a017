"""Taking a partition over: from what the journal covers and what the bus holds, decide where to go
on.

The decision is pure (``decide``); ``Takeover`` asks the disk and the bus, and acts.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

import msgspec
import structlog

from streambackup.bus.port import Bounds, Bus, Record, TopicPartition
from streambackup.errors import InvalidEventError, PositionLostError
from streambackup.events.codec import decode_blob_event, decode_mailbox_event
from streambackup.events.config import Generation
from streambackup.events.topics import TRANSACTIONS
from streambackup.journal.cover import Cover
from streambackup.journal.frame import LastRecord
from streambackup.journal.life import Life, life_of, read_lives, write_life
from streambackup.journal.owner import PartitionOwner, StoreIdentity, inherit
from streambackup.journal.payload import record_crc
from streambackup.journal.segment import EpochName, PartitionPath
from streambackup.realtime.ended_lives import file_rest
from streambackup.runtime.clock import Clock
from streambackup.runtime.disk import Disk

log = structlog.get_logger()


class Verdict(StrEnum):
    """UNKNOWN: there is no last record to read again, at the beginning and behind a gap."""

    GO_ON = "go-on"
    UNKNOWN = "unknown"
    UNVERIFIED = "unverified"
    GAP = "gap"
    NEW_LIFE = "new-life"


class Start(msgspec.Struct, frozen=True):
    """What to do with a partition: read from ``position``, which for a gap is its end."""

    verdict: Verdict
    position: int
    reason: str = ""


def decide(cover: Cover, bounds: Bounds, again: LastRecord | None) -> Start:
    """Where to go on.

    *again* is the last covered record as the bus has it now; None where it has none there.
    """
    if cover.end > bounds.end:
        reason = f"the journal reaches {cover.end}, the topic only {bounds.end}"
        return Start(Verdict.NEW_LIFE, bounds.begin, reason)
    if cover.end < bounds.begin:
        reason = f"the topic begins at {bounds.begin}, the journal ends at {cover.end}"
        return Start(Verdict.GAP, bounds.begin, reason)
    if cover.last.crc is None:
        return Start(Verdict.UNKNOWN, cover.end)
    if again is None:
        return Start(Verdict.UNVERIFIED, cover.end, "the last record is gone from the topic")
    if again != cover.last:
        reason = f"record {cover.end - 1} is not the one that was journalled"
        return Start(Verdict.NEW_LIFE, bounds.begin, reason)
    return Start(Verdict.GO_ON, cover.end)


class Taken(msgspec.Struct, frozen=True):
    """A partition taken over. Records stamped with one of ``strays`` were sent here by mistake;
    ``gaps`` counts those that had to be recorded.
    """

    owner: PartitionOwner
    life: Life
    start: Start
    filed_to: int
    strays: frozenset[str] = frozenset()
    gaps: int = 0


class Takeover:
    """Takes over partitions of one topic for one kind of worker, in epochs named by *draw*."""

    def __init__(
        self,
        *,
        root: Path,
        bus: Bus,
        disk: Disk,
        clock: Clock,
        identity: StoreIdentity,
        draw: Callable[[int], EpochName] = EpochName.draw,
    ) -> None:
        self.root = root
        self._bus = bus
        self.disk = disk
        self._clock = clock
        self._identity = identity
        self._draw = draw

    async def take(
        self,
        tp: TopicPartition,
        topic: str,
        life: Life,
        *,
        foreign: str | None = None,
        strays: frozenset[str] = frozenset(),
    ) -> Taken:
        """Take *tp* over in *life*, or in the life that the topic turns out to be in.

        *topic* is the journal's name for it; *foreign* a stamp that was met at the end of the cover
        and is not the life's, *strays* those met before. What cannot be read any more is recorded
        as a gap, durable on return.
        """
        life = await asyncio.to_thread(self._newest_life, tp, topic, life)
        path = self._path(tp, topic, life)
        cover, epoch, mark = await asyncio.to_thread(inherit, path, self.disk)
        gaps = 0
        if epoch == 1:
            gaps += await asyncio.to_thread(self._end_predecessor, tp, topic, life)
        bounds = (await self._bus.bounds([tp.topic]))[tp]
        start = decide(cover, bounds, await self._read_again(tp, cover, bounds))
        if (
            foreign is not None
            and start.verdict is not Verdict.GO_ON
            # No record proved that the topic is still the same, so its first one has to.
            and await self._stamp(tp, bounds) != life.generation
        ):
            reason = f"records of generation {foreign} follow"
            start = Start(Verdict.NEW_LIFE, bounds.begin, reason)
        if start.verdict is Verdict.NEW_LIFE:
            log.warning("topic_made_anew", topic=tp.topic, reason=start.reason)
            return await self.take(tp, topic, await self._enter_new_life(tp, topic, life, bounds))
        owner = PartitionOwner(path, self.disk, self._identity, epoch, cover, self._draw)
        if start.verdict is Verdict.GAP:
            await asyncio.to_thread(self._note_gap, owner, start.position, start.reason)
            gaps += 1
        elif start.verdict is Verdict.UNVERIFIED:
            log.warning("takeover_unverified", partition=str(path.directory), reason=start.reason)
        if foreign is not None:
            strays |= {foreign}
        return Taken(owner, life, start, mark.filed_to, strays, gaps)

    def give_up(self, generation: Generation) -> None:
        """The topics of a closed *generation* were deleted: transactions in them that the journals
        do not hold are gaps, durable and filed on return. Blocking.
        """
        for partition, end in enumerate(generation.ends):
            path = PartitionPath(self.root, generation.generation, TRANSACTIONS, partition)
            cover, epoch, _ = inherit(path, self.disk)
            if cover.end <= end:
                owner = PartitionOwner(path, self.disk, self._identity, epoch, cover, self._draw)
                self._note_gap(owner, end + 1, "the topic was deleted")
                owner.seal()
            file_rest(
                path,
                life_of(generation),
                moment_ms=self._identity.moment_ms,
                now_ms=self._clock.now_ms(),
                disk=self.disk,
            )

    def _newest_life(self, tp: TopicPartition, topic: str, life: Life) -> Life:
        """The life that the partition's journal is in: *life*, or one entered since it began."""
        _, later = self._neighbours(tp, topic, life)
        return later[-1] if later else life

    def _neighbours(
        self, tp: TopicPartition, topic: str, life: Life
    ) -> tuple[list[Life], list[Life]]:
        """The lives that the partition was in before *life*, and those it entered after it; other
        topics' lives have partitions of its number too.
        """
        lives = read_lives(self.root)
        number = next((k.number for k in lives if k.generation == life.generation), life.number)
        own = [k for k in lives if tp.topic in (k.transactions_topic, k.blobs_topic)]
        entered = [k for k in own if self._path(tp, topic, k).directory.is_dir()]
        earlier = [known for known in entered if known.number < number]
        return earlier, [known for known in entered if known.number > number]

    def _path(self, tp: TopicPartition, topic: str, life: Life) -> PartitionPath:
        return PartitionPath(self.root, life.generation, topic, tp.partition)

    async def _enter_new_life(
        self, tp: TopicPartition, topic: str, before: Life, bounds: Bounds
    ) -> Life:
        """The topic is another one than *before*'s: note the life that begins with it.

        Its directory says from now on, whatever happens, that the partition is in it.
        """
        stamp = await self._stamp(tp, bounds)
        life = await asyncio.to_thread(self._name_life, tp, before, stamp)
        life = await asyncio.to_thread(write_life, self.root, life, self.disk)
        directory = self._path(tp, topic, life).directory
        await asyncio.to_thread(self.disk.secure_directories, directory, self.root)
        return life

    def _end_predecessor(self, tp: TopicPartition, topic: str, life: Life) -> int:
        """A life begins: what the one before it still had at its end may never have been read.

        Returns how many gaps had to be recorded for that.
        """
        earlier, _ = self._neighbours(tp, topic, life)
        if not earlier:
            return 0
        path = self._path(tp, topic, earlier[-1])
        cover, epoch, _ = inherit(path, self.disk)
        if cover.last.crc is None:  # A gap is its end already, or it was never read.
            return 0
        owner = PartitionOwner(path, self.disk, self._identity, epoch, cover, self._draw)
        self._note_gap(owner, cover.end + 1, "the topic was made anew")
        owner.seal()
        return 1

    def _note_gap(self, owner: PartitionOwner, end: int, reason: str) -> None:
        log.error("gap", partition=str(owner.path.directory), begin=owner.position, end=end)
        owner.append_gap(end, reason, self._clock.now_ms())

    async def _read_again(
        self, tp: TopicPartition, cover: Cover, bounds: Bounds
    ) -> LastRecord | None:
        """The last covered record as it is on the bus now."""
        offset = cover.end - 1
        if cover.last.crc is None or not bounds.begin <= offset < bounds.end:
            return None
        with contextlib.suppress(PositionLostError):  # Retention was there first.
            records = await self._bus.read(tp, offset, records_max=1)
            if records and records[0].offset == offset:
                return last_record(records[0])
        return None

    def _name_life(self, tp: TopicPartition, before: Life, stamp: str | None) -> Life:
        """The life behind *before*: of the generation *stamp* that its first record names; where
        that is none, or one this store has known longer, of an id derived from what it follows.
        """
        lives = read_lives(self.root)
        number = next((k.number for k in lives if k.generation == before.generation), before.number)
        older = {before.generation, *(k.generation for k in lives if k.number <= number)}
        follows = f"{before.generation} {tp.topic} {tp.partition}"
        derived = hashlib.sha256(follows.encode()).hexdigest()[:16]
        is_derived = stamp is None or stamp in older
        return msgspec.structs.replace(
            before,
            generation=derived if stamp is None or is_derived else stamp,
            number=number + 1,
            predecessor=before.generation,
            derived=is_derived,
        )

    async def _stamp(self, tp: TopicPartition, bounds: Bounds) -> str | None:
        """The generation that the topic's first record names; None where it names none."""
        if bounds.begin == bounds.end:
            return None
        records = await self._bus.read(tp, bounds.begin, records_max=1)
        if not records:  # Kafka's own markers take offsets too, and are never handed out.
            return None
        for decode in (decode_mailbox_event, decode_blob_event):
            with contextlib.suppress(InvalidEventError):
                return decode(records[0].value).generation
        return None


def last_record(record: Record) -> LastRecord:
    """What a frame that ends with *record* says of it."""
    return LastRecord(record_crc(record.key, record.value, record.timestamp), record.timestamp)
