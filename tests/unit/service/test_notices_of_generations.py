"""Notices go where the stream is now, whichever generation a record was set aside in."""

from __future__ import annotations

import asyncio
from pathlib import Path

from streambackup.bus.growth import Growing
from streambackup.events.topics import QUARANTINE, topic_in
from streambackup.journal.owner import PartitionOwner, inherit
from streambackup.runtime.disk import Disk
from streambackup.testing.events import ACCOUNT
from streambackup.testing.partition_store import identity
from tests.support.account_service import AccountService
from tests.support.memory_service import TellingBus, memory_workers
from tests.support.raw_bus import create_marked


async def test_a_notice_from_an_old_generation_goes_to_the_newest_ones_topic(
    tmp_path: Path,
) -> None:
    bus = TellingBus()
    await create_marked(bus, 1)
    service = AccountService(tmp_path / "store", bus=bus)
    await service.create()
    service.publish_raw(ACCOUNT.encode(), b"junk")
    assert await service.work() is None
    cover, epoch, _ = inherit(service.path(), Disk())
    owner = PartitionOwner(service.path(), Disk(), identity(), epoch, cover)
    await Growing(bus, bus.clock, pause=lambda _: asyncio.sleep(0)).grow(3, lambda _: None)

    workers = await memory_workers(tmp_path / "other", bus)
    await workers.notices(lambda: [owner]).publish()

    bounds = await bus.bounds([QUARANTINE, topic_in(QUARANTINE, 2)])
    assert [tp.topic for tp, held in bounds.items() if held.end] == [topic_in(QUARANTINE, 2)]
