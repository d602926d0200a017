"""The only place that names concrete classes: settings and a store in, parts that run out."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from streambackup.blobs.compression import Compression, CompressionSettings
from streambackup.bus.embedded.bus import EmbeddedBus
from streambackup.bus.generations import GenerationList
from streambackup.bus.port import Bus, Producer
from streambackup.events.config import Generation
from streambackup.events.topics import BLOBS, TOPIC_PREFIX, TRANSACTIONS
from streambackup.journal.life import life_of
from streambackup.outbox.outbox import Outbox
from streambackup.outbox.stream import ListedStream, Stream
from streambackup.realtime.account_worker import AccountWorker, Filer, SegmentSettings
from streambackup.realtime.blob_worker import BlobWorker, BlobWorkerSettings
from streambackup.realtime.generation_workers import GenerationWorkers
from streambackup.realtime.stream_worker import FetchSettings, Handler, StreamWorker
from streambackup.realtime.takeover import Takeover
from streambackup.runtime.clock import Clock
from streambackup.runtime.disk import Disk
from streambackup.runtime.metrics import Metrics
from streambackup.service.settings import MaildirSettings, Settings
from streambackup.service.store_home import StoreHome, find_store
from streambackup.sources.maildir.source import MaildirSource, MaildirTree

BUS_FOLDER = "bus"
OUTBOX_FOLDER = "outbox"
EMBEDDED_PARTITIONS = 4
KAFKA_PARTITIONS = 64
GROUP_PREFIX = "streambackup."


def open_bus(settings: Settings, clock: Clock) -> Bus:
    """The bus that the settings choose; nothing is connected yet.

    Raises:
        NoStoreError: the embedded bus is part of a store, and there is none.
        UsageError: certificates or passwords for the brokers cannot be used.
    """
    if settings.bus.kind == "kafka":
        # Imported here because only a cluster pays for loading the client.
        from streambackup.bus.kafka.bus import KafkaBus
        from streambackup.service.kafka_access import kafka_settings

        return KafkaBus(kafka_settings(settings.bus.kafka), clock=clock)
    return embedded_bus(find_store(settings.store), clock)


def embedded_bus(home: StoreHome, clock: Clock) -> EmbeddedBus:
    """The embedded bus of the store, as far as this node has it."""
    return EmbeddedBus(home.state / BUS_FOLDER, clock=clock)


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
        outbox = Outbox(directory, source, producer, stream=stream, sole_writer=sole_writer)
        try:
            yield Sender(outbox, producer, stream)
        finally:
            outbox.close()
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

    def maildir_source(self, trees: Sequence[MaildirSettings]) -> MaildirSource:
        watched = [MaildirTree(tree.path, tree.account) for tree in trees]
        return MaildirSource(watched, clock=self.clock)

    @contextlib.asynccontextmanager
    async def outbox(self, source: str) -> AsyncIterator[Outbox]:
        """The outbox of *source* on this node, with a producer of its own."""
        sending = open_outbox(self.home.state, source, bus=self.bus, sole_writer=True)
        async with sending as sender:
            yield sender.outbox

    def _takeover(self, bus: Bus) -> Takeover:
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
    ) -> GenerationWorkers:
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
            takeover=self._takeover(self.bus),
            in_order=journal_topic == TRANSACTIONS,
            bus_of=self.bus_of,
        )

    def _stream_worker(self, handler: Handler, bus: Bus, generation: Generation) -> StreamWorker:
        """The worker that consumes the handler's topic of *generation* as its group."""
        topic, *beside = {
            TRANSACTIONS: [generation.transactions_topic, generation.inventory_topic],
            BLOBS: [generation.blobs_topic],
        }[handler.journal_topic]
        return StreamWorker(
            handler,
            bus=bus,
            topic=topic,
            beside=beside,
            group=group_name(self.home.config.store, topic),
            life=life_of(generation),
            takeover=self._takeover(bus),
            settings=FetchSettings(
                batch_records_max=self.settings.worker.batch_records_max,
                fetch_wait_ms=self.settings.worker.fetch_wait_ms,
                revoke_limit_s=self.settings.worker.revoke_limit_s,
            ),
            clock=self.clock,
            metrics=self.metrics,
        )


def group_name(store: str, topic: str) -> str:
    """The consumer group of the store's workers of a topic, by its name on the bus."""
    return f"{GROUP_PREFIX}{store}.{topic.removeprefix(TOPIC_PREFIX)}"
