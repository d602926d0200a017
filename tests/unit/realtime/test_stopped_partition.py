"""Where not even the frame that keeps a record can be written its partition stops, and no other."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from pathlib import Path

from streambackup.bus.port import TopicPartition, partition_of
from streambackup.domain.partition_event import PartitionEventKind
from streambackup.errors import NoSpaceError
from streambackup.events.mailbox import Put
from streambackup.reading.partition_log import filed_events
from streambackup.realtime.turn import Outcome, Turn
from streambackup.runtime.disk import AppendFile
from streambackup.testing.events import put
from streambackup.testing.lossy_disk import LossyDisk
from tests.support.account_service import GROUP, AccountService, ServedWorker

PARTITIONS = 2
OTHERS = 9
STOPPED, GOES_ON = (
    next(name for name in ("anna", "bert", "carl", "dora") if partition_of(name.encode(), 2) == p)
    for p in range(PARTITIONS)
)


class PartlyFullDisk(LossyDisk):
    """Has no space for the journal of partition 0 until there is."""

    full = True

    def create(self, path: Path) -> AppendFile:
        if self.full and path.parent.name == "0" and path.suffix == ".journal":
            raise NoSpaceError(f"no space left for {path.name}")
        return super().create(path)


def message(account: str, number: int) -> Put:
    return put(f"m{number}", number, account=account, folder="f")


class Watched(ServedWorker):
    """Frees space once partition 1 is at its end, and stops its worker once all is."""

    def __init__(self, service: AccountService, disk: PartlyFullDisk) -> None:
        super().__init__(service)
        self._service = service
        self._partly = disk
        self.stop = asyncio.Event()
        self.worker = service.worker(self)
        self.seen: dict[TopicPartition, str] = {}

    async def tick(self, turns: Collection[Turn]) -> list[Outcome]:
        outcomes = await super().tick(turns)
        self._service.clock.advance(ms=300)
        done = await self._service.bus.acknowledged(GROUP)
        if self._partly.full and done.get(self._service.partition(1)) == OTHERS:
            self.seen = self.worker.stopped()
            self._partly.full = False
        if await self._service.is_caught_up():
            self.stop.set()
        return outcomes


async def test_the_others_go_on_and_nothing_of_it_is_lost(tmp_path: Path) -> None:
    service = AccountService(tmp_path / "store", partitions=PARTITIONS)
    await service.create()
    service.disk = disk = PartlyFullDisk(service.root)
    service.publish_raw(STOPPED.encode(), b"junk")
    service.publish(message(STOPPED, 1))
    service.publish(*(message(GOES_ON, number) for number in range(1, OTHERS + 1)))
    handler = Watched(service, disk)
    await handler.worker.run(handler.stop)

    assert list(handler.seen) == [service.partition(0)]
    assert "no space left for" in handler.seen[service.partition(0)]
    assert handler.worker.stopped() == {}
    (event,) = filed_events(service.path(0))
    assert (event.kind, event.value) == (PartitionEventKind.QUARANTINE, b"junk")
    items = [set(service.reader().examine(name).items) for name in (STOPPED, GOES_ON)]
    assert items == [{"m1"}, {f"m{number}" for number in range(1, OTHERS + 1)}]
