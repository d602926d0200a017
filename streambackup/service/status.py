"""What state a store is in: how far behind, what was last made durable, how much there is,
what to look at.
"""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from streambackup.blobs.index import stored_totals
from streambackup.bus.generations import GenerationList, consumable
from streambackup.bus.port import Bus
from streambackup.domain.instant import format_instant
from streambackup.domain.partition_event import PartitionEventKind
from streambackup.domain.words import counted
from streambackup.errors import AccessError, BusError
from streambackup.events.config import Generation
from streambackup.events.topics import TRANSACTIONS
from streambackup.journal.cover import find_cover
from streambackup.journal.life import read_lives
from streambackup.journal.noticed import noticed_to
from streambackup.journal.segment import PartitionPath
from streambackup.metadata.account_log import list_accounts
from streambackup.reading.lives import last_path, newest_named
from streambackup.reading.partition_log import filed_events
from streambackup.reading.store_reader import StoreReader
from streambackup.runtime.clock import Clock
from streambackup.service.generations import open_generation, primary_store
from streambackup.service.headroom import find_headroom
from streambackup.service.held_uploads import HeldUpload, find_held_uploads
from streambackup.service.partition_status import (
    PartitionStatus,
    behind_of,
    journals_of,
    partition_statuses,
    with_epochs,
)
from streambackup.service.settings import Settings
from streambackup.service.store_home import StoreHome
from streambackup.service.store_lock import is_locked

MB = 1_000_000
BLOB_INDEXES = "blobs*-*.sqlite"
BUS_PATIENCE_S = 5.0
"""How long the bus may take to say where its partitions end, and what holds their positions."""


class GenerationStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A generation of the topics that workers consume. ``behind_end`` counts the records that came
    behind its end: each puts its account in doubt.
    """

    number: int
    generation: str
    partitions: int
    state: str
    behind_end: int = 0


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """One look at a store. Times are ISO 8601, sizes bytes.

    Where the bus cannot be asked, ``lag`` is None, ``notices_waiting`` too, and the generation the
    last that was worked on. A replica keeps a copy of what the primary store ``replica_of`` has,
    and publishes nothing. How late its event loop was in this minute and the last, and how often
    more than 50 ms, a service tells of itself.
    """

    store: str
    replica_of: str | None
    path: str
    running: bool
    bus: str
    generation: str | None
    generations: list[GenerationStatus]
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
    event_loop_lag_ms: float | None = None
    event_loop_late_steps: int | None = None


class Look(NamedTuple):
    """What was seen, and why the bus could not be asked if it could not."""

    status: Status
    failure: BusError | None


class _Stream(NamedTuple):
    """How far the store's workers are with the partitions of all generations of the topics."""

    generations: list[GenerationStatus]
    partitions: list[PartitionStatus]
    held: list[HeldUpload]
    unknown: Sequence[str] = ()
    """What whoever asks may not know."""
    primary: str | None = None


async def collect_status(
    settings: Settings,
    home: StoreHome,
    bus: Bus,
    listed: GenerationList | None = None,
    *,
    clock: Clock,
    own_warnings: Sequence[str] = (),
) -> Look:
    """Look at everything; works with a running service and without one. Where the bus cannot be
    asked, what the store itself knows is told.

    *listed* is what a service at work follows, which has checked the topics; *own_warnings* are
    what only the processes that work on the store know of themselves.

    Raises:
        StoreError: the store cannot be read.
    """
    failure = None
    try:
        if listed is None:
            await open_generation(bus)
            listed = GenerationList(bus)
        stream = await _ask_bus(home, bus, listed, now_ms=clock.now_ms())
    except BusError as error:
        failure = error
        stream = await asyncio.to_thread(_ask_journals, home)
    status = await asyncio.to_thread(_status, settings, home, stream)
    doubts = await asyncio.to_thread(StoreReader(home.root).doubts)
    warnings = [*_warnings(settings, status), *stream.unknown, *doubts, *own_warnings]
    if failure is not None:
        warnings.insert(0, "the bus cannot be asked: what is still to be read is not known")
    return Look(msgspec.structs.replace(status, warnings=warnings), failure)


async def _ask_bus(home: StoreHome, bus: Bus, listed: GenerationList, *, now_ms: int) -> _Stream:
    try:
        async with asyncio.timeout(BUS_PATIENCE_S) as patience:
            generations = await consumable(bus, await listed.read())
            partitions = await partition_statuses(home, bus, generations)
            primary = await primary_store(bus)
    except TimeoutError as error:
        raise BusError(f"the bus has not answered within {BUS_PATIENCE_S:g} s") from error
    shown = [_shown(one, partitions) for one in generations]
    partitions = await asyncio.to_thread(with_epochs, home, journals_of(generations), partitions)
    held: list[HeldUpload] = []
    unknown = ["headroom is not known: the bus takes too long to tell"]
    blobs = {one.blobs_topic for one in generations}
    behind = [(at.tp, at.position) for at in partitions if at.lag and at.topic in blobs]
    try:
        async with asyncio.timeout_at(patience.when()):
            found = await find_headroom(bus, generations, behind_of(partitions), now_ms=now_ms)
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
    return _Stream(shown, partitions, held, unknown, primary)


def _shown(generation: Generation, partitions: Sequence[PartitionStatus]) -> GenerationStatus:
    """*generation*, with what came behind its end."""
    topic, ends = generation.transactions_topic, generation.ends
    behind_end = 0
    if generation.state == "closed":
        mine = [at for at in partitions if at.topic == topic]
        behind_end = sum(max(0, (at.end or 0) - ends[at.partition] - 1) for at in mine)
    return GenerationStatus(
        number=generation.number,
        generation=generation.generation,
        partitions=generation.partitions,
        state=generation.state,
        behind_end=behind_end,
    )


def _ask_journals(home: StoreHome) -> _Stream:
    lives = read_lives(home.root)
    life = newest_named(lives)
    if life is None:
        return _Stream([], [], [])
    counts = {life.transactions_topic: life.partitions, life.blobs_topic: life.blob_partitions}
    journals = journals_of([life])
    partitions = [
        PartitionStatus(
            topic=topic,
            partition=partition,
            position=find_cover(
                last_path(home.root, lives, life.generation, journals[topic].name, partition)
            ).end,
            end=None,
            lag=None,
        )
        for topic, count in counts.items()
        for partition in range(count)
    ]
    shown = GenerationStatus(
        number=life.number,
        generation=life.generation,
        partitions=life.partitions,
        state="not known",
    )
    return _Stream([shown], with_epochs(home, journals, partitions), [])


def _status(settings: Settings, home: StoreHome, stream: _Stream) -> Status:
    """All but the warnings, which follow from it."""
    seen = recorded(home.root)
    blobs, blob_bytes, stored_bytes = _blob_totals(home)
    lags = [partition.lag for partition in stream.partitions]
    disk = shutil.disk_usage(home.root)
    return Status(
        store=home.config.store,
        replica_of=None if stream.primary == home.config.store else stream.primary,
        path=str(home.root),
        running=is_locked(home.root),
        bus=settings.bus.kind,
        generation=stream.generations[-1].generation if stream.generations else None,
        generations=stream.generations,
        partitions=stream.partitions,
        lag=None if not lags or None in lags else sum(filter(None, lags)),
        headroom_hours=_least(at.headroom_hours for at in stream.partitions),
        last_transaction=format_instant(seen.last_ms) if seen.last_ms else None,
        accounts=sum(1 for _ in list_accounts(home.root)),
        blobs=blobs,
        blob_bytes=blob_bytes,
        blob_stored_bytes=stored_bytes,
        gaps=seen.gaps,
        quarantined=seen.quarantined,
        notices_waiting=_waiting(seen.unnoticed, stream.primary, home.config.store),
        held_uploads=stream.held,
        disk_free_bytes=disk.free,
        disk_total_bytes=disk.total,
        warnings=[],
    )


class Recorded(NamedTuple):
    """Publish time of the last durable transaction; gaps, quarantined records of transactions and
    those without notice among them, as far as they are filed, each once however often it was.
    """

    last_ms: int
    gaps: int
    quarantined: int
    unnoticed: int


def recorded(root: Path) -> Recorded:
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
    return Recorded(last_ms, gaps, quarantined, unnoticed)


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
        for file in [*state.glob(BLOB_INDEXES), *state.glob(f"process-*/{BLOB_INDEXES}")]:
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
    for one in status.generations:
        if one.behind_end:
            found.append(
                f"{counted(one.behind_end, 'record')} came behind the end of generation "
                f"{one.number} and put accounts in doubt: their producers do not follow the "
                "generations that the config topic lists"
            )
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
