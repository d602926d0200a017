"""A source, its outbox and the embedded bus in one process, for tests that kill it.

``python relay_script.py DIRECTORY EXPECTED`` watches ``DIRECTORY/Maildir``, says a line for every
batch that is on the bus, and ends when it has sent EXPECTED observations.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from streambackup.bus.embedded import EmbeddedBus
from streambackup.bus.port import Record, TopicPartition, TopicSpec
from streambackup.events.blob import Chunk, Reference
from streambackup.events.codec import decode_blob_event, decode_mailbox_event
from streambackup.events.mailbox import Put
from streambackup.outbox.outbox import Outbox
from streambackup.outbox.relay import relay
from streambackup.runtime.clock import SystemClock
from streambackup.testing.fixed_stream import FixedStream
from tests.corpus.mailbox_writer import snapshot_of
from tests.support.mailbox_view import MailboxView
from tests.support.maildir import snapshot_of_view, source_of
from tests.support.watching import TOPICS

PARTITIONS = 2
RECORDS_MAX = 10_000


def bus_at(directory: Path) -> EmbeddedBus:
    return EmbeddedBus(directory / "bus", clock=SystemClock())


def root_at(directory: Path) -> Path:
    return directory / "Maildir"


async def prepare(directory: Path) -> None:
    bus = bus_at(directory)
    names = (TOPICS.transactions, TOPICS.blobs)
    await bus.create([TopicSpec(name=n, partitions=PARTITIONS, retention_ms=-1) for n in names])
    await bus.close()


async def send(directory: Path, expected: int) -> None:
    """Watch until *expected* observations are sent."""
    bus = bus_at(directory)
    stop = asyncio.Event()
    outbox = await open_outbox(directory, bus)
    sent = 0

    def observed(count: int) -> None:
        nonlocal sent
        sent += count
        sys.stdout.write(f"{sent}\n")
        sys.stdout.flush()
        if sent >= expected:
            stop.set()

    await relay(source_of(root_at(directory)), outbox, stop, observed=observed)
    outbox.close()
    await bus.close()


async def open_outbox(directory: Path, bus: EmbeddedBus) -> Outbox:
    state, producer = directory / "state", await bus.producer()
    return await asyncio.to_thread(
        lambda: Outbox(state, "maildir", producer, stream=FixedStream(TOPICS))
    )


async def finish(directory: Path) -> MailboxView:
    """Go on until the bus says what the Maildir holds; returns what the bus says.

    There must be something that was never observed, or this waits for ever.
    """
    bus = bus_at(directory)
    outbox = await open_outbox(directory, bus)
    await outbox.flush()
    batches = source_of(root_at(directory)).observe(outbox.memory)
    view = MailboxView()
    async for batch in batches:
        await outbox.record(batch)
        await outbox.flush()
        view = await read_back(bus)
        if snapshot_of_view(view) == snapshot_of(root_at(directory)):
            break
    await batches.aclose()
    outbox.close()
    await bus.close()
    return view


async def read_back(bus: EmbeddedBus) -> MailboxView:
    """What the transactions fold to, after all they name was found whole before its place."""
    view = MailboxView()
    whole = [await whole_contents(bus, partition) for partition in range(PARTITIONS)]
    for record in await records(bus, TOPICS.transactions):
        event = decode_mailbox_event(record.value)
        view.add([event])
        if isinstance(event, Put) and event.content is not None:
            known_from = whole[event.content.partition][event.digest]
            assert known_from <= event.content.offset
    return view


async def whole_contents(bus: EmbeddedBus, partition: int) -> dict[str | None, int]:
    """Digests by the offset at which their content first was whole."""
    uploads: dict[tuple[str, str], int] = {}
    whole: dict[str | None, int] = {}
    for record in await bus.read(TopicPartition(TOPICS.blobs, partition), 0, records_max=10_000):
        event = decode_blob_event(record.value)
        if isinstance(event, Chunk):
            held = uploads.get((event.digest, event.upload), 0)
            assert held == event.offset
            uploads[event.digest, event.upload] = held + len(event.data)
            if held + len(event.data) == event.total:
                whole.setdefault(event.digest, record.offset)
        else:
            assert isinstance(event, Reference)
    return whole


async def records(bus: EmbeddedBus, topic: str) -> list[Record]:
    found: list[Record] = []
    for partition in range(PARTITIONS):
        found += await bus.read(TopicPartition(topic, partition), 0, records_max=RECORDS_MAX)
    return found


if __name__ == "__main__":
    asyncio.run(send(Path(sys.argv[1]), int(sys.argv[2])))
