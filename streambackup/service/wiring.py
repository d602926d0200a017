"""The only place that names concrete classes: settings and a store in, parts that run out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

from streambackup.blobs.compression import Compression, CompressionSettings
from streambackup.blobs.loose import LooseBlobs
from streambackup.bus.bounded import BoundedReading
from streambackup.bus.embedded.bus import EmbeddedBus
from streambackup.bus.generations import GenerationList, no_topics
from streambackup.bus.port import Bus, Consumers, Producer
from streambackup.events.config import Generation, newest
from streambackup.events.topics import BLOBS, TOPIC_PREFIX, TRANSACTIONS
from streambackup.journal.life import life_of
from streambackup.journal.owner import PartitionOwner
from streambackup.outbox.outbox import Outbox
from streambackup.outbox.stream import ListedStream, Stream
from streambackup.realtime.account_worker import AccountWorker, Filer, SegmentSettings
from streambackup.realtime.blob_filling import BlobFilling
from streambackup.realtime.blob_worker import BlobWorker, BlobWorkerSettings
from streambackup.realtime.generation_workers import GenerationWorkers
from streambackup.realtime.notices import Notices, NoticeTopic
from streambackup.realtime.stream_worker import FetchSettings, StreamWorker
from streambackup.realtime.takeover import Takeover
from streambackup.realtime.turn import Handler
from streambackup.runtime.clock import Clock
from streambackup.runtime.disk import Disk
from streambackup.runtime.metrics import Metrics
from streambackup.service.settings import MaildirSettings, Settings
from streambackup.service.store_home import StoreHome, find_state
from streambackup.sources.maildir.source import MaildirSource, MaildirTree

BUS_FOLDER = "bus"
OUTBOX_FOLDER = "outbox"
EMBEDDED_PARTITIONS = 4
KAFKA_PARTITIONS = 64
GROUP_PREFIX = "streambackup."


def open_bus(settings: Settings, clock: Clock) -> Bus:
    """The bus that the settings choose; nothing is connected yet.

    Raises:
        NoStoreError: the embedded bus is in the state of a store, and there is none.
        UsageError: certificates or passwords for the brokers cannot be used.
    """
    if settings.bus.kind == "kafka":
        # Imported here because only a cluster pays for loading the client.
        from streambackup.bus.kafka.bus import KafkaBus
        from streambackup.service.kafka_access import kafka_settings

        return KafkaBus(kafka_settings(settings.bus.kafka), clock=clock)
    return embedded_bus(find_state(settings.store), clock)


def embedded_bus(state: Path, clock: Clock) -> EmbeddedBus:
    """The embedded bus in a store's *state* on this node."""
    return EmbeddedBus(state / BUS_FOLDER, clock=clock)


class Sender(NamedTuple):
    """An outbox, the producer it sends with, and where both publish."""

    outbox: Outbox
    producer: Producer
    stream: Stream


@contextlib.asynccontextmanager
async def open_outbox(
    state: Path, source: str, *, bus: Bus, sole_writer: bool
) -> AsyncIterator[Sender]:
    """The outbox of *source* on this node, and a producer of its own.

    Raises what ``Outbox`` does.
    """
    stream = ListedStream(bus)
    producer = await bus.producer()
    try:
        directory = state / OUTBOX_FOLDER
        opened = partial(Outbox, directory, source, producer, stream=stream)
        outbox = await asyncio.to_thread(opened, sole_writer=sole_writer)
        try:
            yield Sender(outbox, producer, stream)
        finally:
            await asyncio.to_thread(outbox.close)
    finally:
        await producer.close()


@dataclass(frozen=True, kw_only=True)
class Workers:
    """What the parts of one process share, and the workers built of it."""

    settings: Settings
    home: StoreHome
    caches: Path
    """A directory that no other process uses."""
    bus: Bus
    listed: GenerationList
    embedded: Bus | None
    """The store's embedded bus, where this node has it."""
    primary: str
    """The store that answers for the topics."""
    disk: Disk
    clock: Clock
    metrics: Metrics = field(default_factory=Metrics)

    @property
    def is_replica(self) -> bool:
        """Whether the store keeps a copy beside the primary, and publishes nothing."""
        return self.primary != self.home.config.store

    def account_handler(self, filer: Filer) -> AccountWorker:
        worker = self.settings.worker
        return AccountWorker(
            root=self.home.root,
            moment_ms=self.home.config.moment_ms,
            disk=self.disk,
            clock=self.clock,
            settings=SegmentSettings(
                segment_bytes=worker.segment_bytes,
                segment_age_ms=int(worker.segment_age_s * 1000),
                segment_retention_ms=int(worker.segment_retention_s * 1000),
            ),
            metrics=self.metrics,
            filer=filer,
        )

    def blob_handler(self, threads: Executor, bus: Bus) -> BlobWorker:
        blobs = self.settings.blobs
        return BlobWorker(
            root=self.home.root,
            state=self.caches,
            disk=self.disk,
            clock=self.clock,
            settings=BlobWorkerSettings(
                compression=CompressionSettings(
                    Compression(blobs.compression), blobs.compression_level
                ),
                give_up_bytes=blobs.upload_give_up_bytes,
            ),
            metrics=self.metrics,
            threads=threads,
            bus=bus,
        )

    def notices(self, owners: Callable[[], Iterable[PartitionOwner]]) -> Notices:
        """Who tells others what was set aside in the partitions that *owners* names."""
        return Notices(
            bus=self.bus,
            topic=self._notice_topic,
            owners=owners,
            disk=self.disk,
            metrics=self.metrics,
        )

    async def _notice_topic(self) -> NoticeTopic:
        """That of the last generation, whichever one a record was set aside in."""
        found = newest(await self.listed.read())
        if found is None:
            raise no_topics()
        return NoticeTopic(found.quarantine_topic, found.partitions)

    def maildir_source(self, trees: Sequence[MaildirSettings]) -> MaildirSource:
        watched = [MaildirTree(tree.path, tree.account) for tree in trees]
        return MaildirSource(watched, clock=self.clock)

    @contextlib.asynccontextmanager
    async def outbox(self, source: str) -> AsyncIterator[Outbox]:
        """The outbox of *source* on this node, with a producer of its own."""
        sending = open_outbox(self.home.state, source, bus=self.bus, sole_writer=True)
        async with sending as sender:
            yield sender.outbox

    def blob_filling(self, sources: Sequence[LooseBlobs], generation: Generation) -> BlobFilling:
        return BlobFilling(
            sources,
            root=self.home.root,
            disk=self.disk,
            takeover=self.takeover(self.bus),
            life=life_of(generation),
        )

    def takeover(self, bus: Bus) -> Takeover:
        return Takeover(
            root=self.home.root,
            bus=bus,
            disk=self.disk,
            clock=self.clock,
            identity=self.home.identity,
        )

    def bus_of(self, generation: Generation) -> Bus | None:
        """The bus that *generation* is on; None where it is another node's."""
        own = generation.embedded_in == self.home.config.store
        return self.embedded if own else self.bus

    def generation_workers(
        self, journal_topic: str, handler_on: Callable[[Bus], Handler]
    ) -> GenerationWorkers[StreamWorker]:
        """Workers that consume a topic, in whatever generations there are: with one handler on each
        bus.
        """
        handlers: dict[Bus, Handler] = {}

        def worker_of(generation: Generation) -> StreamWorker:
            bus = self.bus_of(generation)
            assert bus is not None
            if bus not in handlers:
                handlers[bus] = handler_on(bus)
            return self._stream_worker(handlers[bus], bus, generation)

        return GenerationWorkers(
            self.bus,
            worker_of,
            takeover=self.takeover(self.bus),
            in_order=journal_topic == TRANSACTIONS,
            bus_of=self.bus_of,
        )

    def _stream_worker(self, handler: Handler, bus: Bus, generation: Generation) -> StreamWorker:
        """The worker that consumes the handler's topic of *generation* as its group."""
        beside = {TRANSACTIONS: [generation.inventory_topic], BLOBS: []}
        return self._worker(
            handler,
            generation,
            bus,
            consumers=bus,
            group=group_name(self.home.config.store, topic_of(handler, generation)),
            beside=beside[handler.journal_topic],
        )

    def replaying_worker(
        self,
        handler: Handler,
        generation: Generation,
        reading: BoundedReading,
        settled: Callable[[], None],
    ) -> StreamWorker:
        """The worker that folds what *reading* gives of the handler's topic, in no group."""
        return self._worker(
            handler, generation, reading.bus, consumers=reading, group=None, settled=settled
        )

    def _worker(
        self,
        handler: Handler,
        generation: Generation,
        bus: Bus,
        *,
        consumers: Consumers,
        group: str | None,
        beside: Collection[str] = (),
        settled: Callable[[], None] = lambda: None,
    ) -> StreamWorker:
        return StreamWorker(
            handler,
            bus=consumers,
            topic=topic_of(handler, generation),
            beside=beside,
            group=group,
            life=life_of(generation),
            takeover=self.takeover(bus),
            settings=FetchSettings(
                batch_records_max=self.settings.worker.batch_records_max,
                fetch_wait_ms=self.settings.worker.fetch_wait_ms,
                revoke_limit_s=self.settings.worker.revoke_limit_s,
                threads=self.settings.worker.threads,
            ),
            clock=self.clock,
            metrics=self.metrics,
            settled=settled,
        )


def topic_of(handler: Handler, generation: Generation) -> str:
    """The topic of *generation* whose records are the handler's."""
    topics = {TRANSACTIONS: generation.transactions_topic, BLOBS: generation.blobs_topic}
    return topics[handler.journal_topic]


def group_name(store: str, topic: str) -> str:
    """The consumer group of the store's workers of a topic, by its name on the bus."""
    return f"{GROUP_PREFIX}{store}.{topic.removeprefix(TOPIC_PREFIX)}"
