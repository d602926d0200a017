"""What state a store is in: how far behind, what was last made durable, how much there is,
what to look at.
"""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import Sequence

import msgspec

from streambackup.blobs.index import stored_totals
from streambackup.bus.port import Bus, TopicPartition
from streambackup.domain.instant import format_instant
from streambackup.domain.partition_event import PartitionEventKind
from streambackup.events.config import Generation
from streambackup.journal.cover import find_cover
from streambackup.journal.segment import PartitionPath
from streambackup.metadata.account_log import list_accounts
from streambackup.reading.tail import filed_events
from streambackup.service.generations import BLOBS, TRANSACTIONS
from streambackup.service.held_uploads import HeldUpload, find_held_uploads
from streambackup.service.settings import Settings
from streambackup.service.store_home import StoreHome
from streambackup.service.store_lock import is_locked
from streambackup.service.wiring import group_name

MB = 1_000_000


class PartitionStatus(msgspec.Struct, frozen=True, kw_only=True):
    """``position`` is the next record to read, ``end`` the next one to be published."""

    topic: str
    partition: int
    position: int
    end: int
    lag: int


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """One look at a store. Times are ISO 8601, sizes bytes."""

    store: str
    path: str
    running: bool
    bus: str
    generation: str
    partitions: list[PartitionStatus]
    lag: int
    last_transaction: str | None
    accounts: int
    blobs: int
    blob_bytes: int
    blob_stored_bytes: int
    gaps: int
    quarantined: int
    held_uploads: list[HeldUpload]
    disk_free_bytes: int
    disk_total_bytes: int
    warnings: list[str]


async def collect_status(
    settings: Settings,
    home: StoreHome,
    bus: Bus,
    generation: Generation,
    *,
    source_warnings: Sequence[str] = (),
) -> Status:
    """Look at everything; works with a running service and without one.

    *source_warnings* are known only to the process that runs the sources.
    """
    partitions = await partition_statuses(home, bus, generation)
    behind = [
        (TopicPartition(at.topic, at.partition), at.position)
        for at in partitions
        if at.lag and at.topic == generation.blobs_topic
    ]
    held = await find_held_uploads(bus, behind)
    last_ms, accounts, blobs = await asyncio.to_thread(_stored, home, generation)
    gaps, quarantined = await asyncio.to_thread(_events, home, generation)
    disk = shutil.disk_usage(home.root)
    running = is_locked(home.root)
    status = Status(
        store=home.config.store,
        path=str(home.root),
        running=running,
        bus=settings.bus.kind,
        generation=generation.generation,
        partitions=partitions,
        lag=sum(partition.lag for partition in partitions),
        last_transaction=format_instant(last_ms) if last_ms else None,
        accounts=accounts,
        blobs=blobs[0],
        blob_bytes=blobs[1],
        blob_stored_bytes=blobs[2],
        gaps=gaps,
        quarantined=quarantined,
        held_uploads=held,
        disk_free_bytes=disk.free,
        disk_total_bytes=disk.total,
        warnings=[],
    )
    return msgspec.structs.replace(
        status, warnings=[*_warnings(settings, status), *source_warnings]
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


def _partition(tp: TopicPartition, position: int, end: int) -> PartitionStatus:
    return PartitionStatus(
        topic=tp.topic,
        partition=tp.partition,
        position=position,
        end=end,
        lag=max(0, end - position),
    )


def _stored(home: StoreHome, generation: Generation) -> tuple[int, int, tuple[int, int, int]]:
    """Publish time of the last durable transaction, accounts filed,
    and what the digest indexes count.
    """
    last_ms = max(
        find_cover(
            PartitionPath(home.root, generation.generation, TRANSACTIONS, partition)
        ).last.published_ms
        for partition in range(generation.partitions)
    )
    accounts = sum(1 for _ in list_accounts(home.root))
    count = size = stored = 0
    for file in sorted(home.state.glob("blobs-*.sqlite")):
        totals = stored_totals(file)
        count, size, stored = count + totals[0], size + totals[1], stored + totals[2]
    return last_ms, accounts, (count, size, stored)


def _events(home: StoreHome, generation: Generation) -> tuple[int, int]:
    """Gaps and quarantined records of the generation, as far as they are filed."""
    events = {
        (event.kind, event.position)
        for partition in range(generation.partitions)
        for event in filed_events(
            PartitionPath(home.root, generation.generation, TRANSACTIONS, partition)
        )
    }
    kinds = Counter(kind for kind, _ in events)
    return kinds[PartitionEventKind.GAP], kinds[PartitionEventKind.QUARANTINE]


def _warnings(settings: Settings, status: Status) -> list[str]:
    found = []
    if not status.running:
        found.append("no service works on this store: nothing is being recorded")
    free_mb = status.disk_free_bytes // MB
    if free_mb < settings.disk.free_warning_mb:
        found.append(f"only {free_mb} MB are free on the file system of {status.path}")
    if status.gaps:
        found.append(
            f"{status.gaps} gaps: records were gone from the bus before they were read; "
            "'streambackup account show' names the accounts' doubts"
        )
    if status.quarantined:
        found.append(f"{status.quarantined} records could not be used and are in quarantine")
    for held in status.held_uploads:
        found.append(
            f"upload {held.upload} of {held.digest} holds partition {held.partition} of blobs at "
            f"offset {held.offset}: {held.received} of {held.total} bytes came"
        )
    return found
