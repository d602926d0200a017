"""Taking a partition over: from what the journal covers and what the bus holds, decide where to go
on.

The decision is pure (``decide``); ``Takeover`` asks the disk and the bus, and acts.
"""

from __future__ import annotations

import asyncio
import hashlib
from enum import StrEnum
from pathlib import Path

import msgspec
import structlog

from streambackup.bus.port import Bounds, Bus, Record, TopicPartition
from streambackup.errors import InvalidEventError
from streambackup.events.codec import decode_mailbox_event
from streambackup.events.mailbox import Marker, MarkerKind
from streambackup.journal.cover import Cover
from streambackup.journal.frame import LastRecord
from streambackup.journal.life import Life, write_life
from streambackup.journal.owner import PartitionOwner, StoreIdentity, inherit
from streambackup.journal.payload import record_crc
from streambackup.journal.segment import PartitionPath
from streambackup.runtime.clock import Clock
from streambackup.runtime.disk import Disk

log = structlog.get_logger()


class Verdict(StrEnum):
    GO_ON = "go-on"
    UNVERIFIED = "unverified"
    GAP = "gap"
    NEW_LIFE = "new-life"


class Start(msgspec.Struct, frozen=True):
    """What to do with a partition: read from ``position``, which for a gap is its end."""

    verdict: Verdict
    position: int
    reason: str = ""


def decide(cover: Cover, bounds: Bounds, again: LastRecord | None) -> Start:
    """Where to go on. *again* is the last covered record as the bus has it now; None where
    it has none there.
    """
    if cover.end > bounds.end:
        reason = f"the journal reaches {cover.end}, the topic only {bounds.end}"
        return Start(Verdict.NEW_LIFE, bounds.begin, reason)
    if cover.end < bounds.begin:
        reason = f"the topic begins at {bounds.begin}, the journal ends at {cover.end}"
        return Start(Verdict.GAP, bounds.begin, reason)
    if cover.last.crc is None or cover.end == bounds.begin:
        verdict = Verdict.GO_ON if cover.last.crc is None else Verdict.UNVERIFIED
        return Start(verdict, cover.end, "the last record is gone from the topic")
    if again != cover.last:
        reason = f"record {cover.end - 1} is not the one that was journalled"
        return Start(Verdict.NEW_LIFE, bounds.begin, reason)
    return Start(Verdict.GO_ON, cover.end)


class Taken(msgspec.Struct, frozen=True):
    """A partition taken over."""

    owner: PartitionOwner
    start: Start
    filed_to: int


class Takeover:
    """Takes over partitions of one topic for one kind of worker."""

    def __init__(
        self, *, root: Path, bus: Bus, disk: Disk, clock: Clock, identity: StoreIdentity
    ) -> None:
        self._root = root
        self._bus = bus
        self._disk = disk
        self._clock = clock
        self._identity = identity

    async def take(self, tp: TopicPartition, topic: str, life: Life) -> tuple[Taken, Life]:
        """Take *tp* over in *life*, or in the life that the topic turns out to be in.

        *topic* is the journal's name for it. What cannot be read any more is recorded as a gap,
        durable on
        return.
        """
        path = PartitionPath(self._root, life.generation, topic, tp.partition)
        cover, epoch, mark = await asyncio.to_thread(inherit, path, self._disk)
        bounds = (await self._bus.bounds([tp.topic]))[tp]
        again = await self._read_again(tp, cover, bounds)
        start = decide(cover, bounds, again)
        owner = PartitionOwner(path, self._disk, self._identity, epoch, cover)
        if start.verdict is Verdict.NEW_LIFE:
            await self._note_gap(owner, cover.end + 1, f"the topic was made anew: {start.reason}")
            return await self.enter_new_life(tp, topic, life, bounds)
        if start.verdict is Verdict.GAP:
            await self._note_gap(owner, start.position, start.reason)
        elif start.verdict is Verdict.UNVERIFIED:
            log.warning("takeover_unverified", partition=str(path.directory), reason=start.reason)
        return Taken(owner, start, mark.filed_to), life

    async def enter_new_life(
        self, tp: TopicPartition, topic: str, before: Life, bounds: Bounds
    ) -> tuple[Taken, Life]:
        """The topic is another one than *before*'s: journal it from its beginning as a life
        of its own.
        """
        life = msgspec.structs.replace(
            before,
            generation=await self._name_life(tp, bounds),
            number=before.number + 1,
            predecessor=before.generation,
        )
        assert life.generation != before.generation
        await asyncio.to_thread(write_life, self._root, life, self._disk)
        log.warning("topic_made_anew", topic=tp.topic, partition=tp.partition, life=life.generation)
        return await self.take(tp, topic, life)

    async def _note_gap(self, owner: PartitionOwner, end: int, reason: str) -> None:
        log.error("gap", partition=str(owner.path.directory), begin=owner.position, end=end)
        now_ms = self._clock.now_ms()
        await asyncio.to_thread(owner.append_gap, end, reason, now_ms)

    async def _read_again(
        self, tp: TopicPartition, cover: Cover, bounds: Bounds
    ) -> LastRecord | None:
        """The last covered record as it is on the bus now."""
        offset = cover.end - 1
        if cover.last.crc is None or not bounds.begin <= offset < bounds.end:
            return None
        records = await self._bus.read(tp, offset, records_max=1)
        if not records or records[0].offset != offset:
            return None
        return last_record(records[0])

    async def _name_life(self, tp: TopicPartition, bounds: Bounds) -> str:
        """The generation id that the topic begins with; where it has none, one derived from
        its first record.
        """
        records = await self._bus.read(tp, bounds.begin, records_max=1)
        if not records:
            return hashlib.sha256(f"{tp.topic} empty".encode()).hexdigest()[:16]
        first = records[0]
        try:
            event = decode_mailbox_event(first.value)
        except InvalidEventError:
            event = None
        if (
            isinstance(event, Marker)
            and event.kind is MarkerKind.GENERATION_BEGIN
            and event.generation
        ):
            return event.generation
        crc = record_crc(first.key, first.value, first.timestamp)
        return hashlib.sha256(f"{tp.topic} {crc}".encode()).hexdigest()[:16]


def last_record(record: Record) -> LastRecord:
    """What a frame that ends with *record* says of it."""
    return LastRecord(record_crc(record.key, record.value, record.timestamp), record.timestamp)
