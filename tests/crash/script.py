"""A short run of both workers on the embedded bus, for tests that kill it at every system call.

``python script.py ROOT`` works through what ``prepare`` put on the bus, files it, and ends.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from streambackup.blobs.compression import CompressionSettings
from streambackup.bus.embedded.bus import EmbeddedBus
from streambackup.bus.port import Outgoing
from streambackup.domain.digest import digest_of
from streambackup.domain.entry import ItemType
from streambackup.domain.transaction import Position
from streambackup.events.blob import Chunk
from streambackup.events.codec import encode_event
from streambackup.events.config import Generation
from streambackup.events.mailbox import Delete, Put
from streambackup.events.topics import BLOBS, TRANSACTIONS
from streambackup.journal.life import life_of, write_life
from streambackup.journal.owner import StoreIdentity
from streambackup.metadata.store_config import STORE_FILE, StoreConfig, encode_store_config
from streambackup.realtime.account_worker import AccountWorker, SegmentSettings
from streambackup.realtime.blob_worker import BlobWorker, BlobWorkerSettings
from streambackup.realtime.filing import Filed, FilingRequest
from streambackup.realtime.stream_worker import FetchSettings, StreamWorker
from streambackup.realtime.takeover import Takeover
from streambackup.realtime.turn import Handler
from streambackup.runtime.clock import SystemClock
from streambackup.runtime.disk import Disk
from streambackup.runtime.metrics import Metrics
from streambackup.service.filing_process import file_and_describe
from streambackup.service.generations import create_topics

STORE = "5" * 32
NODE = "node"
PARTITIONS = 2
ACCOUNTS = ("anna@example.org", "ben/../x")
ROUNDS = int(os.environ.get("STREAMBACKUP_CRASH_ROUNDS", "4"))
"""How much there is to do; scripts/crash --all asks for more."""
BATCH_RECORDS_MAX = 7
EPOCHS_BEFORE = 2
"""Whose logs are merged in the run that is killed."""


async def prepare(root: Path) -> None:
    """A store, topics, and on them messages, flag changes, a delete,
    a damaged record and contents; some of them worked through by earlier epochs.
    """
    Disk().ensure_directories(root)
    config = StoreConfig(store=STORE, created_ms=0)
    (root / STORE_FILE).write_bytes(encode_store_config(config))
    bus = EmbeddedBus(root / "state" / "bus", clock=SystemClock())
    generation, _ = await create_topics(bus, PARTITIONS, SystemClock())
    write_life(root, life_of(generation), Disk())
    producer = await bus.producer()
    sequence = dict.fromkeys(ACCOUNTS, 0)
    for round_ in range(ROUNDS):
        for account in ACCOUNTS:
            content = f"From: a@example.org\n\nround {round_ // 2}\n".encode() * 40
            digest = digest_of(content)
            chunk = Chunk(
                schema=1,
                digest=digest,
                upload=f"{account[0]}{round_}",
                offset=0,
                total=len(content),
                data=content,
            )
            (at,) = await producer.publish([Outgoing(BLOBS, digest.encode(), encode_event(chunk))])
            place = Position(generation.generation, at.partition, at.offset)
            events: list[Put | Delete] = []
            for flags in ([], ["seen"], ["seen", "flagged"]):
                sequence[account] += 1
                events.append(
                    Put(
                        schema=1,
                        account=account,
                        source="script",
                        incarnation="0" * 16,
                        sequence=sequence[account],
                        time_ms=1_700_000_000_000 + 40 * sequence[account],
                        item=f"m{round_}",
                        type=ItemType.MESSAGE,
                        state={"folder": "inbox", "flags": flags},
                        digest=digest,
                        size=len(content),
                        content=place,
                    )
                )
            records = [Outgoing(TRANSACTIONS, account.encode(), encode_event(e)) for e in events]
            records.append(Outgoing(TRANSACTIONS, account.encode(), b"not an event"))
            await producer.publish(records)
        if round_ < EPOCHS_BEFORE:
            await asyncio.to_thread(asyncio.run, consume(root))
    await producer.close()
    await bus.close()


async def consume(root: Path) -> None:
    """Run both workers until they have acknowledged all there is, then file it.

    One thread makes every system call on files: strace counts calls thread by thread.
    """
    clock = SystemClock()
    bus = EmbeddedBus(root / "state" / "bus", clock=clock)
    generation, _ = await create_topics(bus, PARTITIONS, clock)
    metrics = Metrics()
    with ThreadPoolExecutor(1) as threads, ThreadPoolExecutor(1) as files:
        asyncio.get_running_loop().set_default_executor(files)

        def filer(request: FilingRequest) -> asyncio.Future[Filed]:
            loop = asyncio.get_running_loop()
            return loop.run_in_executor(files, file_and_describe, request)

        account = AccountWorker(
            root=root,
            moment_ms=100,
            disk=Disk(),
            clock=clock,
            settings=SegmentSettings(segment_bytes=3_000, logs_max=EPOCHS_BEFORE),
            metrics=metrics,
            filer=filer,
        )
        blob = BlobWorker(
            root=root,
            state=root / "state",
            disk=Disk(),
            clock=clock,
            settings=BlobWorkerSettings(compression=CompressionSettings()),
            metrics=metrics,
            threads=threads,
            bus=bus,
        )
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for topic, handler in ((TRANSACTIONS, account), (BLOBS, blob)):
                worker = _worker(handler, topic, root, bus, generation, clock, metrics)
                group.create_task(worker.run(stop))
            group.create_task(_stop_when_caught_up(bus, stop))
        await bus.close()


def _worker(
    handler: Handler,
    topic: str,
    root: Path,
    bus: EmbeddedBus,
    generation: Generation,
    clock: SystemClock,
    metrics: Metrics,
) -> StreamWorker:
    identity = StoreIdentity(store=STORE, node=NODE, moment_ms=100, ignored_attributes=())
    return StreamWorker(
        handler,
        bus=bus,
        topic=topic,
        group=topic,
        life=life_of(generation),
        takeover=Takeover(root=root, bus=bus, disk=Disk(), clock=clock, identity=identity),
        settings=FetchSettings(batch_records_max=BATCH_RECORDS_MAX, fetch_wait_ms=10),
        clock=clock,
        metrics=metrics,
    )


async def _stop_when_caught_up(bus: EmbeddedBus, stop: asyncio.Event) -> None:
    # Nobody announces an acknowledgement, so the bus is asked again and again.
    while not await _caught_up(bus):  # noqa: ASYNC110
        await asyncio.sleep(0)
    stop.set()


async def _caught_up(bus: EmbeddedBus) -> bool:
    for topic in (TRANSACTIONS, BLOBS):
        done = await bus.acknowledged(topic)
        bounds = await bus.bounds([topic])
        if any(done.get(tp, 0) < bounds[tp].end for tp in bounds):
            return False
    return True


def copy_of(template: Path, root: Path) -> Path:
    shutil.copytree(template, root)
    return root


if __name__ == "__main__":
    asyncio.run(consume(Path(sys.argv[1])))
