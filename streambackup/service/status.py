"""What state a store is in: how far behind, what was last made durable, how much there is,
what to look at.
"""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from streambackup.blobs.index import stored_totals
from streambackup.bus.port import Bus, TopicPartition
from streambackup.domain.instant import format_instant
from streambackup.domain.partition_event import PartitionEventKind
from streambackup.domain.words import counted
from streambackup.errors import AccessError, BusError
from streambackup.events.config import Generation
from streambackup.events.topics import BLOBS, TRANSACTIONS
from streambackup.journal.cover import find_cover, newest_epoch
from streambackup.journal.life import read_lives
from streambackup.journal.noticed import noticed_to
from streambackup.journal.segment import PartitionPath
from streambackup.metadata.account_log import list_accounts
from streambackup.reading.lives import last_path, newest_named
from streambackup.reading.partition_log import filed_events
from streambackup.reading.store_reader import StoreReader
from streambackup.runtime.clock import Clock
from streambackup.service.generations import open_generation, primary_store
from streambackup.service.headroom import Behind, find_headroom
from streambackup.service.held_uploads import HeldUpload, find_held_uploads
from streambackup.service.settings import Settings
from streambackup.service.store_home import StoreHome
from streambackup.service.store_lock import is_locked
from streambackup.service.wiring import group_name

MB = 1_000_000
BUS_PATIENCE_S = 5.0
"""How long the bus may take to say where its partitions end, and what holds their positions."""


class PartitionStatus(msgspec.Struct, frozen=True, kw_only=True):
    """``position`` is the next record to read, ``end`` the next one to be published, None where the
    bus cannot be asked; ``headroom_hours`` until the bus may drop a record that is not recorded
    yet, None where there is none, where it never will, or where that is not known. The newest epoch
    in which anything was journalled, and the node that did: whoever owns the partition now and has
    had nothing to write yet is not told.
    """

    topic: str
    partition: int
    position: int
    end: int | None
    lag: int | None
    headroom_hours: float | None = None
    epoch: int | None = None
    writer: str | None = None
    node: str | None = None

    @property
    def tp(self) -> TopicPartition:
        return TopicPartition(self.topic, self.partition)


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """One look at a store. Times are ISO 8601, sizes bytes.

    Where the bus cannot be asked, ``lag`` is None, ``notices_waiting`` too, and the generation the
    last that was worked on. A replica keeps a copy of what the primary store ``replica_of`` has,
    and publishes nothing.
    """

    store: str
    replica_of: str | None
    path: str
    running: bool
    bus: str
    generation: str | None
    partitions: list[PartitionStatus]
    lag: int | None
    headroom_hours: float | None
    last_transaction: str | None
    accounts: int
    blobs: int
    blob_bytes: int
    blob_stored_bytes: int
    gaps: int
    quarantined: int
    notices_waiting: int | None
    held_uploads: list[HeldUpload]
    disk_free_bytes: int
    disk_total_bytes: int
    warnings: list[str]


class Look(NamedTuple):
    """What was seen, and why the bus could not be asked if it could not."""

    status: Status
    failure: BusError | None


class _Stream(NamedTuple):
    """How far the store's workers are with the partitions of a life of the topics."""

    generation: str | None
    partitions: list[PartitionStatus]
    held: list[HeldUpload]
    unknown: Sequence[str] = ()
    """What whoever asks may not know."""
    primary: str | None = None


async def collect_status(
    settings: Settings,
    home: StoreHome,
    bus: Bus,
    generation: Generation | None = None,
    *,
    clock: Clock,
    own_warnings: Sequence[str] = (),
) -> Look:
    """Look at everything; works with a running service and without one. Where the bus cannot be
    asked, what the store itself knows is told.

    *generation* is the open one, where that is known already; *own_warnings* are what
    only the processes that work on the store know of themselves.

    Raises:
        StoreError: the store cannot be read.
    """
    failure = None
    try:
        open_one = generation or await open_generation(bus)
        stream = await _ask_bus(home, bus, open_one, now_ms=clock.now_ms())
    except BusError as error:
        failure = error
        stream = await asyncio.to_thread(_ask_journals, home)
    status = await asyncio.to_thread(_status, settings, home, stream)
    doubts = await asyncio.to_thread(StoreReader(home.root).doubts)
    warnings = [*_warnings(settings, status), *stream.unknown, *doubts, *own_warnings]
    if failure is not None:
        warnings.insert(0, "the bus cannot be asked: what is still to be read is not known")
    return Look(msgspec.structs.replace(status, warnings=warnings), failure)


async def _ask_bus(home: StoreHome, bus: Bus, generation: Generation, *, now_ms: int) -> _Stream:
    try:
        async with asyncio.timeout(BUS_PATIENCE_S) as patience:
            partitions = await partition_statuses(home, bus, generation)
            primary = await primary_store(bus)
    except TimeoutError as error:
        raise BusError(f"the bus has not answered within {BUS_PATIENCE_S:g} s") from error
    names = {generation.transactions_topic: TRANSACTIONS, generation.blobs_topic: BLOBS}
    partitions = await asyncio.to_thread(
        _with_epochs, home, generation.generation, names, partitions
    )
    held: list[HeldUpload] = []
    unknown = ["headroom is not known: the bus takes too long to tell"]
    behind = [
        (at.tp, at.position) for at in partitions if at.lag and at.topic == generation.blobs_topic
    ]
    try:
        async with asyncio.timeout_at(patience.when()):
            found = await find_headroom(bus, generation, behind_of(partitions), now_ms=now_ms)
            unknown = [*found.unknown.values()]
            partitions = [
                msgspec.structs.replace(at, headroom_hours=found.hours.get(at.tp))
                for at in partitions
            ]
            async for upload in find_held_uploads(bus, behind):
                held.append(upload)
    except TimeoutError:
        pass  # What was found by then is told.
    except AccessError as refused:
        unknown.append(f"whether uploads hold up blobs is not known: {refused.message}")
    return _Stream(generation.generation, partitions, held, unknown, primary)


def _ask_journals(home: StoreHome) -> _Stream:
    lives = read_lives(home.root)
    life = newest_named(lives)
    if life is None:
        return _Stream(None, [], [])
    topics = {
        TRANSACTIONS: (life.transactions_topic, life.partitions),
        BLOBS: (life.blobs_topic, life.blob_partitions),
    }
    partitions = [
        PartitionStatus(
            topic=topic,
            partition=partition,
            position=find_cover(last_path(home.root, lives, life.generation, name, partition)).end,
            end=None,
            lag=None,
        )
        for name, (topic, count) in topics.items()
        for partition in range(count)
    ]
    names = {topic: name for name, (topic, _) in topics.items()}
    return _Stream(life.generation, _with_epochs(home, life.generation, names, partitions), [])


def _with_epochs(
    home: StoreHome,
    generation: str,
    names: Mapping[str, str],
    partitions: Sequence[PartitionStatus],
) -> list[PartitionStatus]:
    """The *partitions* with their newest epochs; *names* are the journal's names of topics."""
    lives = read_lives(home.root)
    found = []
    for at in partitions:
        path = last_path(home.root, lives, generation, names[at.topic], at.partition)
        newest = newest_epoch(path)
        if newest is not None:
            at = msgspec.structs.replace(
                at, epoch=newest.epoch, writer=newest.writer, node=newest.node
            )
        found.append(at)
    return found


def _status(settings: Settings, home: StoreHome, stream: _Stream) -> Status:
    """All but the warnings, which follow from it."""
    recorded = _recorded(home.root)
    blobs, blob_bytes, stored_bytes = _blob_totals(home)
    lags = [partition.lag for partition in stream.partitions]
    disk = shutil.disk_usage(home.root)
    return Status(
        store=home.config.store,
        replica_of=None if stream.primary == home.config.store else stream.primary,
        path=str(home.root),
        running=is_locked(home.root),
        bus=settings.bus.kind,
        generation=stream.generation,
        partitions=stream.partitions,
        lag=None if not lags or None in lags else sum(filter(None, lags)),
        headroom_hours=_least(at.headroom_hours for at in stream.partitions),
        last_transaction=format_instant(recorded.last_ms) if recorded.last_ms else None,
        accounts=sum(1 for _ in list_accounts(home.root)),
        blobs=blobs,
        blob_bytes=blob_bytes,
        blob_stored_bytes=stored_bytes,
        gaps=recorded.gaps,
        quarantined=recorded.quarantined,
        notices_waiting=_waiting(recorded.unnoticed, stream.primary, home.config.store),
        held_uploads=stream.held,
        disk_free_bytes=disk.free,
        disk_total_bytes=disk.total,
        warnings=[],
    )


async def partition_statuses(
    home: StoreHome, bus: Bus, generation: Generation
) -> list[PartitionStatus]:
    """Lag as the bus tells it: what the store's workers acknowledged, against the end."""
    found = []
    topics = {TRANSACTIONS: generation.transactions_topic, BLOBS: generation.blobs_topic}
    for name, topic in topics.items():
        bounds = await bus.bounds([topic])
        done = await bus.acknowledged(group_name(home.config.store, name))
        for tp in sorted(bounds):
            found.append(_partition(tp, done.get(tp, bounds[tp].begin), bounds[tp].end))
    return found


def behind_of(partitions: Sequence[PartitionStatus]) -> list[Behind]:
    """Those of them with records that are not recorded yet."""
    return [Behind(at.tp, at.position, at.end) for at in partitions if at.lag and at.end]


def _partition(tp: TopicPartition, position: int, end: int) -> PartitionStatus:
    return PartitionStatus(
        topic=tp.topic,
        partition=tp.partition,
        position=position,
        end=end,
        lag=max(0, end - position),
    )


class _Recorded(NamedTuple):
    """Publish time of the last durable transaction; gaps, quarantined records of transactions and
    those without notice among them, as far as they are filed, each once however often it was.
    """

    last_ms: int
    gaps: int
    quarantined: int
    unnoticed: int


def _recorded(root: Path) -> _Recorded:
    last_ms = unnoticed = 0
    kinds = Counter[PartitionEventKind]()
    for life in read_lives(root):
        for partition in range(life.partitions):
            path = PartitionPath(root, life.generation, TRANSACTIONS, partition)
            last_ms = max(last_ms, find_cover(path).last.published_ms)
            found = {(event.position.offset, event.kind) for event in filed_events(path)}
            kinds.update(kind for _, kind in found)
            aside = [at for at, kind in found if kind is PartitionEventKind.QUARANTINE]
            noticed = noticed_to(path) if aside else 0
            unnoticed += sum(at >= noticed for at in aside)
    gaps, quarantined = kinds[PartitionEventKind.GAP], kinds[PartitionEventKind.QUARANTINE]
    return _Recorded(last_ms, gaps, quarantined, unnoticed)


def _waiting(unnoticed: int, primary: str | None, store: str) -> int | None:
    """How many notices the store owes: a replica none."""
    if primary is None:
        return None
    return unnoticed if primary == store else 0


def _blob_totals(home: StoreHome) -> tuple[int, int, int]:
    """What the digest indexes count: blobs, their bytes, and those stored. Of a partition's indexes
    the one that knows most: each is of a process that owned it at some time.
    """
    fullest: dict[str, tuple[int, int, int]] = {}
    for state in {home.state, *(home.root / "state").glob("*")}:
        for file in [*state.glob("blobs-*.sqlite"), *state.glob("process-*/blobs-*.sqlite")]:
            fullest[file.name] = max(fullest.get(file.name, (0, 0, 0)), stored_totals(file))
    count, size, stored = (sum(column) for column in zip((0, 0, 0), *fullest.values(), strict=True))
    return count, size, stored


def _least(hours: Iterable[float | None]) -> float | None:
    return min((found for found in hours if found is not None), default=None)


def _warnings(settings: Settings, status: Status) -> list[str]:
    found = []
    if not status.running:
        found.append("no service works on this store: nothing is being recorded")
    free_mb = status.disk_free_bytes // MB
    if free_mb < settings.disk.free_warning_mb:
        found.append(f"only {free_mb} MB are free on the file system of {status.path}")
    hours = status.headroom_hours
    if hours is not None and hours < settings.bus.headroom_warning_hours:
        found.append(_low_headroom(status, hours))
    if status.gaps:
        found.append(
            f"{counted(status.gaps, 'gap')}: records were gone from the bus before they were read; "
            "'streambackup account show' names the accounts' doubts"
        )
    if status.quarantined:
        found.append(
            f"{counted(status.quarantined, 'record')} could not be used and went into quarantine: "
            "'streambackup quarantine list'"
        )
    if status.notices_waiting:
        found.append(f"{counted(status.notices_waiting, 'notice')} of them not on the bus yet")
    for held in status.held_uploads:
        found.append(
            f"upload {held.upload} of {held.digest} holds partition {held.partition} of blobs at "
            f"offset {held.offset}: {held.received} of {held.total} bytes came"
        )
    return found


def _low_headroom(status: Status, hours: float) -> str:
    at = min(status.partitions, key=lambda at: (at.headroom_hours is None, at.headroom_hours))
    return (
        f"the bus may drop records of {at.topic}/{at.partition} that are not recorded yet, in "
        f"{hours:.1f} hours: let the workers catch up, or raise retention.ms of the topic"
    )
