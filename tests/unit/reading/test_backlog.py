"""Asking for all accounts takes no more memory, and no more open files, for a longer backlog."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

from streambackup.bus.port import partition_of
from streambackup.reading.fingerprint import fingerprint
from streambackup.reading.partition_log import partition_logs
from streambackup.reading.store_reader import StoreReader
from streambackup.testing.events import PartitionLog, put
from streambackup.testing.partition_store import PartitionStore
from tests.support.account_service import AccountService, some_mail

PARTITIONS = 4
ACCOUNTS = [f"user{number}" for number in range(40)]


async def unfiled(root: Path) -> StoreReader:
    """A store whose worker was killed before it filed anything."""
    service = AccountService(root, partitions=PARTITIONS, batch_records_max=50)
    await service.create()
    service.publish(*some_mail(ACCOUNTS))
    assert await service.work(drain=False) is None
    return service.reader()


def open_partitions(root: Path) -> set[str]:
    """Partitions of the store at *root* that this process has a segment of open."""
    found = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            file = Path(os.readlink(descriptor))
        except FileNotFoundError:
            continue
        if file.suffix == ".journal" and file.is_relative_to(root):
            found.add(file.parent.name)
    return found


async def test_the_tail_of_one_partition_is_open_at_a_time(tmp_path: Path) -> None:
    reader = await unfiled(tmp_path / "store")
    seen = [(history.account, open_partitions(reader.root)) for history in reader.histories()]

    assert sorted(account for account, _ in seen) == sorted(ACCOUNTS)
    for account, partitions in seen:
        assert partitions == {str(partition_of(account.encode(), PARTITIONS))}
    assert len({partition for _, open_ in seen for partition in open_}) == PARTITIONS


async def test_each_tail_is_opened_once(tmp_path: Path) -> None:
    reader = await unfiled(tmp_path / "store")
    order = [partition_of(h.account.encode(), PARTITIONS) for h in reader.histories()]

    assert order == sorted(order)


async def test_all_accounts_at_once_are_what_each_is_alone(tmp_path: Path) -> None:
    reader = await unfiled(tmp_path / "store")
    histories = list(reader.histories())

    assert sorted(history.account for history in histories) == sorted(ACCOUNTS)
    for history in histories:
        assert history == StoreReader(reader.root).history(history.account)
        assert len(history.items) == 2


def test_a_backlog_is_never_in_memory_as_a_whole(tmp_path: Path) -> None:
    """Of many accounts, each with little: what one holds is all that has to be there at once."""
    store = PartitionStore(tmp_path / "store")
    owner = store.own()
    log = PartitionLog()
    text = "x" * 20_000
    for number in range(1_000):
        log.add(put("m", 1, account=f"user{number}", folder="f", subject=text))
    store.journal(owner, log.records, set(range(0, 1_000, 20)))
    backlog_bytes = 1_000 * len(text)
    tracemalloc.start()
    try:
        fingerprint(store.reader())
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak_bytes < backlog_bytes / 8


def test_a_partition_log_is_read_once_and_as_far_as_it_goes(tmp_path: Path) -> None:
    """For all accounts; what is filed between two questions is seen by the second."""
    store = PartitionStore(tmp_path / "store")
    owner = store.own()
    log = PartitionLog()
    for account in ("anna", "bert", "carl"):
        log.add(put("m", 1, account=account, folder="f"))
        log.add_raw(account.encode(), b"junk" * 1_000)
    store.journal(owner, log.records)
    store.file(owner)
    reader = store.reader()
    doubts = {account: len(reader.history(account).doubts) for account in ("anna", "bert")}
    before = read_bytes()
    for _ in range(50):
        reader.history("carl")
    read = read_bytes() - before
    log.add_raw(b"carl", b"junk")
    owner = store.own()
    store.journal(owner, log.records)
    store.file(owner)

    assert doubts == {"anna": 1, "bert": 1}
    assert read < 50 * sum(file.stat().st_size for file in partition_logs(store.path))
    assert len(reader.history("carl").doubts) == 2


def read_bytes() -> int:
    """How much this process read from files so far."""
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["rchar"])
