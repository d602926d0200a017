"""An account worker on a bus in memory, over a disk that can lose its power or its space."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from streambackup.bus.port import Outgoing, TopicPartition, TopicSpec
from streambackup.errors import StoreError
from streambackup.events.codec import encode_event
from streambackup.events.mailbox import MailboxEvent
from streambackup.journal.life import Life, write_life
from streambackup.journal.segment import PartitionPath
from streambackup.reading.store_reader import StoreReader
from streambackup.realtime.account_worker import AccountWorker, SegmentSettings
from streambackup.realtime.filing import Filed, FilingRequest, file_partition
from streambackup.realtime.stream_worker import FetchSettings, StreamWorker
from streambackup.realtime.takeover import Takeover
from streambackup.realtime.turn import Outcome, Turn
from streambackup.runtime.metrics import Metrics
from streambackup.testing.events import GENERATION, MOMENT_MS, TIME_MS, delete, put
from streambackup.testing.lossy_disk import LossyDisk
from streambackup.testing.memory_bus import MemoryBus
from streambackup.testing.partition_store import TOPIC, identity, life, make_store
from tests.support.manual_clock import ManualClock

GROUP = "workers"


class KilledError(Exception):
    """Ends a worker that shall not come to its end."""


class _Watched(AccountWorker):
    """An account worker that is looked at between its batches."""

    def __init__(self, look: Callable[[], Awaitable[None]], **parts: Any) -> None:
        super().__init__(**parts)
        self._look = look

    async def tick(self, turns: Collection[Turn]) -> list[Outcome]:
        outcomes = await super().tick(turns)
        await self._look()
        return outcomes


class AccountService:
    """A store, a bus, and workers one after the other or beside each other."""

    def __init__(
        self,
        root: Path,
        *,
        partitions: int = 1,
        segments: SegmentSettings | None = None,
        batch_records_max: int = 3,
        bus: MemoryBus | None = None,
    ) -> None:
        self.root = root
        self.clock = ManualClock(TIME_MS)
        self.bus = bus or MemoryBus(clock=self.clock)
        self.partitions = partitions
        self.topic = TOPIC
        self.segments = segments or SegmentSettings()
        self.batch_records_max = batch_records_max
        self.revoke_limit_s = 10.0
        self.fetch_wait_ms = 0
        self.threads = FetchSettings().threads
        self.beside: list[str] = []
        self.metrics = Metrics()
        self.files = True
        """Without it a worker that is torn off is so before the first of its filings begins."""
        self.filing_error: StoreError | None = None
        """What every filing fails with."""
        self._held: list[asyncio.Future[Filed]] = []
        make_store(root)
        self.disk = LossyDisk(root)
        self.life = write_life(root, life(partitions=partitions), self.disk)
        self.disk.count_anew()

    async def create(self) -> None:
        spec = TopicSpec(name=TOPIC, partitions=self.partitions, retention_ms=-1)
        await self.bus.create([spec])

    def publish(self, *events: MailboxEvent) -> None:
        self.bus.publish([outgoing(event) for event in events])

    def publish_raw(self, key: bytes | None, value: bytes | None, partition: int = 0) -> None:
        self.bus.publish([Outgoing(TOPIC, key, value, partition)])

    async def is_caught_up(self) -> bool:
        """Whether everything on the bus is acknowledged."""
        bounds = await self.bus.bounds([self.topic])
        acknowledged = await self.bus.acknowledged(GROUP)
        return all(acknowledged.get(tp, 0) >= at.end for tp, at in bounds.items())

    def worker(self, handler: AccountWorker, in_life: Life | None = None) -> StreamWorker:
        """A worker as a new process would have it."""
        return StreamWorker(
            handler,
            bus=self.bus,
            topic=self.topic,
            beside=self.beside,
            group=GROUP,
            life=in_life or self.life,
            takeover=self.takeover(),
            settings=FetchSettings(
                batch_records_max=self.batch_records_max,
                fetch_wait_ms=self.fetch_wait_ms,
                revoke_limit_s=self.revoke_limit_s,
                threads=self.threads,
            ),
            clock=self.clock,
            metrics=self.metrics,
        )

    def takeover(self) -> Takeover:
        return Takeover(
            root=self.root,
            bus=self.bus,
            disk=self.disk,
            clock=self.clock,
            identity=identity(),
        )

    def _file_now(self, request: FilingRequest) -> asyncio.Future[Filed]:
        filed: asyncio.Future[Filed] = asyncio.get_running_loop().create_future()
        if not self.files:
            self._held.append(filed)
            return filed
        if self.filing_error is not None:
            filed.set_exception(self.filing_error)
            return filed
        try:
            filed.set_result(file_partition(request, self.disk))
        except Exception as error:  # the worker's affair, as from a process of its own
            filed.set_exception(error)
        return filed

    async def work(
        self,
        between: Callable[[], object] | None = None,
        *,
        drain: bool = True,
        in_life: Life | None = None,
    ) -> Exception | None:
        """Run a worker until everything is acknowledged, or it fails, calling *between* between its
        batches; a *between* that returns True keeps it at work.

        Then it is stopped, or without *drain* torn off as if it were killed. Returns its error.
        """
        stop = asyncio.Event()

        async def look() -> None:
            busy = between is not None and between()
            if not busy and await self.is_caught_up():
                if not drain:
                    for filing in self._held:
                        filing.set_exception(KilledError())
                    self._held.clear()
                    raise KilledError
                stop.set()

        handler = _Watched(
            look,
            root=self.root,
            moment_ms=MOMENT_MS,
            disk=self.disk,
            clock=self.clock,
            settings=self.segments,
            metrics=self.metrics,
            filer=self._file_now,
        )
        try:
            await self.worker(handler, in_life).run(stop)
        except KilledError:
            return None
        except Exception as error:  # whatever it is, the test looks at it
            return error
        return None

    def reader(self) -> StoreReader:
        return StoreReader(self.root)

    def path(self, partition: int = 0, generation: str = GENERATION) -> PartitionPath:
        return PartitionPath(self.root, generation, TOPIC, partition)

    def partition(self, number: int = 0) -> TopicPartition:
        return TopicPartition(TOPIC, number)


def outgoing(event: MailboxEvent, partition: int | None = None) -> Outgoing:
    key = None if event.account is None else event.account.encode()
    if key is None and partition is None:
        partition = 0
    return Outgoing(TOPIC, key, encode_event(event), partition)


def some_mail(accounts: Sequence[str] = ("anna", "bert")) -> list[MailboxEvent]:
    """Short lives of messages in each account: arrivals, runs of changes, a delete."""
    events: list[MailboxEvent] = []
    for round_ in range(2):
        for account in accounts:
            at = TIME_MS + 1_000 * round_
            first = 4 * round_
            for step, flags in enumerate((["new"], ["seen"], ["seen", "flagged"]), 1):
                events.append(
                    put(f"m{round_ % 2}", first + step, account=account, time_ms=at + step,
                        flags=flags, round=round_, folder="f")
                )  # fmt: skip
            events.append(delete(f"m{round_ % 2}", first + 4, account=account, time_ms=at + 500))
    return events


class ServedWorker(AccountWorker):
    """A handler with what *service* gives its own, for tests that hold it up at some step."""

    def __init__(self, service: AccountService) -> None:
        super().__init__(
            root=service.root,
            moment_ms=MOMENT_MS,
            disk=service.disk,
            clock=service.clock,
            settings=SegmentSettings(),
            metrics=Metrics(),
            filer=service._file_now,
        )
