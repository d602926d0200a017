"""Two workers that both believe to own a partition, at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from streambackup.coherency.check import check_store
from streambackup.reading.fingerprint import fingerprint
from streambackup.realtime.account_worker import SegmentSettings
from streambackup.runtime.disk import AppendFile
from streambackup.testing.lossy_disk import LossyDisk
from streambackup.testing.memory_bus import MemoryBus
from tests.support.account_service import AccountService, some_mail
from tests.support.manual_clock import ManualClock

OFTEN_FILED = SegmentSettings(segment_bytes=600, segment_age_ms=10**9)
LOGS = (".journal", ".jsonl")
ACCOUNTS = ("anna", "bert", "carl", "dora")


class WatchedDisk(LossyDisk):
    """Remembers which logs were opened to write to them."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.logs: set[Path] = set()

    def _open(self, path: Path, flags: int) -> AppendFile:
        if path.suffix in LOGS:
            self.logs.add(path.resolve())
        return super()._open(path, flags)


def worker_of(root: Path, bus: MemoryBus) -> tuple[AccountService, WatchedDisk]:
    service = AccountService(root, bus=bus, segments=OFTEN_FILED)
    service.disk = disk = WatchedDisk(root)
    return service, disk


def growth_only(root: Path) -> Callable[[], None]:
    """A look at every log: none ever loses or changes a byte."""
    seen: dict[Path, bytes] = {}

    def look() -> None:
        found = {path: path.read_bytes() for path in root.rglob("*") if path.suffix in LOGS}
        assert seen.keys() <= found.keys()
        assert all(found[path].startswith(data) for path, data in seen.items())
        seen.update(found)

    return look


@pytest.mark.row("M3")
async def test_two_workers_of_one_partition_at_once_never_write_one_log(tmp_path: Path) -> None:
    """Each journals everything, and files what nobody has filed, into logs of its own that only
    grow.
    """
    alone = AccountService(tmp_path / "alone", segments=OFTEN_FILED)
    await alone.create()
    alone.publish(*some_mail(ACCOUNTS))
    assert await alone.work() is None

    bus = MemoryBus(clock=ManualClock())
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    one, first = worker_of(tmp_path / "one" / "store", bus)
    (tmp_path / "other" / "store").symlink_to(one.root)
    other, second = worker_of(tmp_path / "other" / "store", bus)
    await one.create()
    look = growth_only(one.root)
    at_work = set[AccountService]()

    def look_after(service: AccountService) -> bool:
        """Whether there is more to do; nothing is published before both own the partition."""
        look()
        before = len(at_work)
        at_work.add(service)
        if before == 1 and len(at_work) == 2:
            one.publish(*some_mail(ACCOUNTS))
        return not (first.logs and second.logs)

    ended = await asyncio.gather(
        one.work(partial(look_after, one)), other.work(partial(look_after, other))
    )
    look()

    assert list(ended) == [None, None]
    for disk in (first, second):
        assert ".journal" in {path.suffix for path in disk.logs}
    assert ".jsonl" in {path.suffix for path in first.logs | second.logs}
    assert first.logs.isdisjoint(second.logs)
    assert fingerprint(one.reader()) == fingerprint(alone.reader())
    assert check_store(one.root).faults == []
