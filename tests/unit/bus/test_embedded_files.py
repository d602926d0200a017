"""The embedded bus and the world: other processes, the modes of its files, damage, a full disk."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from streambackup.bus.embedded import EmbeddedBus
from streambackup.bus.embedded.errors import database_errors
from streambackup.bus.port import Bounds, Outgoing, TopicPartition
from streambackup.errors import BusError, NoSpaceError, StoreBusyError
from streambackup.runtime.clock import SystemClock
from tests.contract.bus_rig import Owner, fetch_until, numbered, spec

TOPIC = "mailbox.test"
ZERO = TopicPartition(TOPIC, 0)

PUBLISHER = """
import asyncio, sys
from pathlib import Path
from streambackup.bus.embedded import EmbeddedBus
from streambackup.bus.port import Outgoing
from streambackup.runtime.clock import SystemClock

async def main(folder, topic, batches):
    bus = EmbeddedBus(Path(folder), clock=SystemClock())
    producer = await bus.producer()
    for number in range(int(batches)):
        batch = [Outgoing(topic, b"k", b"%d" % number, 0)] * 50
        await producer.publish(batch)
        print(number, flush=True)
    await bus.close()

asyncio.run(main(*sys.argv[1:]))
"""
HOLDER = """
import asyncio, sys
from pathlib import Path
from streambackup.bus.embedded import EmbeddedBus
from streambackup.runtime.clock import SystemClock

class Owner:
    async def assigned(self, partitions):
        return {tp: 0 for tp in partitions}

async def main(folder, topic):
    bus = EmbeddedBus(Path(folder), clock=SystemClock())
    await bus.consumer([topic], group="workers", ownership=Owner())
    print("held", flush=True)
    await asyncio.sleep(3600)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "bus"


@pytest.fixture
async def bus(folder: Path) -> AsyncIterator[EmbeddedBus]:
    bus = EmbeddedBus(folder, clock=SystemClock())
    await bus.create([spec(TOPIC, partitions=2)])
    yield bus
    await bus.close()


async def start(script: str, *arguments: object) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script, *map(str, arguments)), stdout=asyncio.subprocess.PIPE
    )


async def line_of(process: asyncio.subprocess.Process) -> bytes:
    assert process.stdout is not None
    return (await process.stdout.readline()).strip()


def modes_in(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


async def test_files_are_private(bus: EmbeddedBus, folder: Path) -> None:
    producer = await bus.producer()
    await producer.publish(numbered(TOPIC, range(1)))
    await bus.consumer([TOPIC], group="a/../b", ownership=Owner())
    modes = modes_in(folder)
    assert {f"{TOPIC}.sqlite3-wal", "consumers-a%2F..%2Fb.lock"} < modes.keys()
    assert set(modes.values()) == {0o600}
    assert modes_in(folder.parent) == {folder.name: 0o700}


async def test_a_group_has_one_consumer_on_the_host(bus: EmbeddedBus, folder: Path) -> None:
    holder = await start(HOLDER, folder, TOPIC)
    assert await line_of(holder) == b"held"
    with pytest.raises(StoreBusyError, match="workers") as refused:
        await bus.consumer([TOPIC], group="workers", ownership=Owner())
    assert refused.value.hint is not None
    other = await bus.consumer([TOPIC], group="others", ownership=Owner())
    await other.close()
    holder.kill()
    await holder.wait()
    consumer = await bus.consumer([TOPIC], group="workers", ownership=Owner())
    with pytest.raises(StoreBusyError):
        await bus.consumer([TOPIC], group="workers", ownership=Owner())
    await consumer.close()


async def test_what_another_process_publishes_arrives(bus: EmbeddedBus, folder: Path) -> None:
    consumer = await bus.consumer([TOPIC], group="workers", ownership=Owner())
    publisher = await start(PUBLISHER, folder, TOPIC, 3)
    found = await fetch_until(consumer, 150)
    assert [record.offset for record in found[ZERO]] == list(range(150))
    assert await publisher.wait() == 0
    await consumer.close()


async def test_processes_publish_at_the_same_time(bus: EmbeddedBus, folder: Path) -> None:
    publishers = [await start(PUBLISHER, folder, TOPIC, 20) for _ in range(3)]
    assert [await publisher.wait() for publisher in publishers] == [0, 0, 0]
    records = await bus.read(ZERO, 0, records_max=3000)
    assert [record.offset for record in records] == list(range(3000))
    of_a_batch = [records[start : start + 50] for start in range(0, 3000, 50)]
    assert all(len({record.value for record in batch}) == 1 for batch in of_a_batch)


async def test_a_killed_publisher_leaves_whole_batches(bus: EmbeddedBus, folder: Path) -> None:
    publisher = await start(PUBLISHER, folder, TOPIC, 100_000)
    while int(await line_of(publisher)) < 20:
        pass
    publisher.kill()
    await publisher.wait()
    end = (await bus.bounds([TOPIC]))[ZERO].end
    assert end >= 21 * 50
    assert end % 50 == 0
    records = await bus.read(ZERO, 0, records_max=end)
    assert [record.value for record in records] == [b"%d" % (n // 50) for n in range(end)]


async def test_a_killed_creator_leaves_no_half_topic(bus: EmbeddedBus, folder: Path) -> None:
    (folder / ".mailbox.late.new").write_bytes(b"half of a database")
    assert await bus.describe([spec("mailbox.late")]) == []
    await bus.create([spec("mailbox.late")])
    assert len(await bus.bounds(["mailbox.late"])) == 4


async def test_compaction_keeps_one_row_per_key(bus: EmbeddedBus, folder: Path) -> None:
    await bus.create([spec("config", partitions=1, compacted=True)])
    producer = await bus.producer()
    await producer.publish([Outgoing("config", b"%d" % (n % 3), b"%d" % n) for n in range(99)])
    await producer.publish([Outgoing("config", b"0", None)])
    records = await bus.read(TopicPartition("config", 0), 0, records_max=100)
    assert [(record.offset, record.value) for record in records] == [
        (97, b"97"),
        (98, b"98"),
        (99, None),
    ]
    assert (await bus.bounds(["config"])).popitem()[1] == Bounds(0, 100)


@pytest.mark.parametrize("damage", ["nothing", "header", "format"])
async def test_a_file_that_is_no_topic_is_refused(folder: Path, damage: str) -> None:
    bus = EmbeddedBus(folder, clock=SystemClock())
    await bus.create([spec(TOPIC)])
    await bus.close()
    file = folder / f"{TOPIC}.sqlite3"
    if damage == "format":
        with sqlite3.connect(file) as database:
            database.execute("PRAGMA user_version = 99")
        database.close()
    else:
        file.write_bytes(b"" if damage == "nothing" else b"not a database" * 1000)
    bus = EmbeddedBus(folder, clock=SystemClock())
    with pytest.raises(BusError, match=TOPIC) as refused:
        await bus.bounds([TOPIC])
    assert refused.value.hint is not None
    await bus.close()


def test_a_full_disk_is_no_space() -> None:
    database = sqlite3.connect(":memory:", isolation_level=None)
    database.execute("PRAGMA max_page_count = 2")
    database.execute("CREATE TABLE t (v BLOB)")
    with pytest.raises(NoSpaceError, match="somewhere"), database_errors(Path("somewhere")):
        database.execute("INSERT INTO t VALUES (zeroblob(100000))")
    database.close()


def test_a_held_lock_is_busy(tmp_path: Path) -> None:
    first = sqlite3.connect(tmp_path / "db", isolation_level=None)
    second = sqlite3.connect(tmp_path / "db", isolation_level=None, timeout=0)
    first.execute("BEGIN IMMEDIATE")
    with pytest.raises(BusError, match="held by another process"), database_errors(tmp_path):
        second.execute("BEGIN IMMEDIATE")
    first.close()
    second.close()
