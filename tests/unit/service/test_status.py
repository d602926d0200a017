"""What a store says of itself: each doubt once, of every life it has journalled."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import msgspec

from streambackup.blobs.index import DigestIndex
from streambackup.bus.growth import Growing
from streambackup.bus.port import Outgoing
from streambackup.domain.digest import digest_of
from streambackup.events.codec import encode_event
from streambackup.journal.life import write_life
from streambackup.journal.payload import Blobs, StoredBlob
from streambackup.reading.partition_log import partition_logs
from streambackup.runtime.disk import Disk
from streambackup.service.generations import create_topics
from streambackup.service.settings import Settings
from streambackup.service.status import Status, collect_status
from streambackup.service.store_home import StoreHome
from streambackup.testing.events import ACCOUNT, GENERATION, PartitionLog, put
from streambackup.testing.memory_bus import MemoryBus
from streambackup.testing.partition_store import TOPIC, PartitionStore, identity, life
from tests.support.manual_clock import ManualClock

SECOND = "00000000000000bb"
NOW_MS = 1_750_000_000_000


async def status_of(store: PartitionStore) -> Status:
    """As told where the bus, which has no topics, cannot be asked."""
    home = StoreHome(store.root, store.root / "state", "node", store.reader().config)
    look = await collect_status(
        Settings(), home, MemoryBus(clock=ManualClock()), clock=ManualClock()
    )
    assert look.failure is not None
    return look.status


def derived(store: PartitionStore) -> PartitionStore:
    """The same store, its partition of transactions made anew."""
    follows = msgspec.structs.replace(life(SECOND, 2), predecessor=GENERATION, derived=True)
    write_life(store.root, follows, Disk())
    later = PartitionStore(store.root)
    later.path = later.path._replace(generation=SECOND)
    return later


async def test_what_was_filed_twice_is_counted_once(tmp_path: Path) -> None:
    store = PartitionStore(tmp_path)
    log = PartitionLog([put("m1", 1)])
    log.add_raw(ACCOUNT.encode(), b"junk")
    log.add_raw(ACCOUNT.encode(), b"junk")
    owner = store.own()
    store.journal(owner, log.records)
    store.file(owner)
    (filed,) = partition_logs(store.path)
    shutil.copy(filed, filed.with_name(f"0000000009-{'9' * 16}.partition.jsonl"))

    assert (await status_of(store)).quarantined == 2


async def test_the_gaps_of_a_life_that_ended_still_count(tmp_path: Path) -> None:
    store = PartitionStore(tmp_path)
    owner = store.own()
    store.journal(owner, PartitionLog([put("m1", 1)]).records)
    owner.append_gap(7, "the topic was made anew", NOW_MS)
    store.file(owner)
    write_life(tmp_path, life(SECOND, 2), Disk())

    found = await status_of(store)

    assert (found.gaps, found.generation) == (1, SECOND)


async def test_the_numbers_go_on_in_a_derived_life(tmp_path: Path) -> None:
    store = PartitionStore(tmp_path)
    owner = store.own()
    store.journal(owner, PartitionLog([put("m1", 1)]).records)
    before = await status_of(store)
    later = derived(store)
    owner = later.own()
    later.journal(owner, PartitionLog([put(f"m{n}", n) for n in range(2, 5)]).records)

    after = await status_of(store)

    positions = [{at.topic: at.position for at in found.partitions} for found in (before, after)]
    assert [at[TOPIC] for at in positions] == [1, 3]
    assert [found.generation for found in (before, after)] == [GENERATION, GENERATION]


async def test_each_partition_tells_who_wrote_it_last(tmp_path: Path) -> None:
    store = PartitionStore(tmp_path)
    first = store.own()
    store.journal(first, PartitionLog([put("m1", 1)]).records)
    (before,) = [at for at in (await status_of(store)).partitions if at.topic == TOPIC]
    owner = PartitionStore(tmp_path).own()
    store.journal(owner, PartitionLog([put("m1", 1), put("m2", 2)]).records[1:])
    (after,) = [at for at in (await status_of(store)).partitions if at.topic == TOPIC]

    assert (before.epoch, before.writer) == (first.epoch.number, first.epoch.writer)
    assert (after.epoch, after.writer) == (owner.epoch.number, owner.epoch.writer)
    assert after.epoch == 2
    assert after.node == identity().node


async def test_blobs_that_several_processes_know_are_counted_once(tmp_path: Path) -> None:
    store = PartitionStore(tmp_path)
    blobs = [StoredBlob(digest_of(b"%d" % n), size=10, stored_size=7, offset=n) for n in range(3)]
    for place, partition, known in [("", 0, 2), ("process-1", 0, 3), ("process-1", 1, 1)]:
        (tmp_path / "state" / place).mkdir(parents=True, exist_ok=True)
        index = DigestIndex(tmp_path / "state" / place / f"blobs-{partition}.sqlite")
        index.apply([Blobs(blobs[:known], [], [], [])], "segment", 1)
        index.close()

    found = await status_of(store)

    assert (found.blobs, found.blob_bytes, found.blob_stored_bytes) == (4, 40, 28)


async def test_generations_are_told_and_who_does_not_follow_them(tmp_path: Path) -> None:
    store, clock = PartitionStore(tmp_path), ManualClock(NOW_MS)
    bus = MemoryBus(clock=clock)
    first, _ = await create_topics(bus, 1, clock)
    await Growing(bus, clock, pause=lambda _: asyncio.sleep(0)).grow(2, lambda _: None)
    for number in range(3):
        event = encode_event(put("m", number + 1))
        bus.publish([Outgoing(first.transactions_topic, ACCOUNT.encode(), event)])
    home = StoreHome(store.root, store.root / "state", "node", store.reader().config)

    found = (await collect_status(Settings(), home, bus, clock=clock)).status

    told = [(one.number, one.partitions, one.state, one.behind_end) for one in found.generations]
    assert told == [(1, 1, "closed", 3), (2, 2, "open", 0)]
    assert found.generation == found.generations[-1].generation
    assert {at.topic for at in found.partitions} == {
        *("mailbox.transactions", "mailbox.blobs"),
        *("mailbox.transactions.g2", "mailbox.blobs.g2"),
    }
    assert any("3 records came behind the end of generation 1" in one for one in found.warnings)


async def test_a_generation_whose_topics_were_deleted_is_not_told(tmp_path: Path) -> None:
    store, clock = PartitionStore(tmp_path), ManualClock(NOW_MS)
    bus = MemoryBus(clock=clock)
    first, _ = await create_topics(bus, 1, clock)
    await Growing(bus, clock, pause=lambda _: asyncio.sleep(0)).grow(2, lambda _: None)
    bus.delete(first.transactions_topic)
    home = StoreHome(store.root, store.root / "state", "node", store.reader().config)

    found = (await collect_status(Settings(), home, bus, clock=clock)).status

    assert [one.number for one in found.generations] == [2]
