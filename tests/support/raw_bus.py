"""The bus as a foreign producer has it, from a test that does not wait for anything itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType

import msgspec

from streambackup.bus.generations import GenerationList, new_generation, specs_of
from streambackup.bus.port import Bounds, Bus, Outgoing, Placed, TopicPartition
from streambackup.bus.publishing import publish_once
from streambackup.events.codec import encode_event
from streambackup.events.config import Generation
from streambackup.events.mailbox import MarkerKind
from streambackup.events.topics import BLOBS, TRANSACTIONS
from streambackup.runtime.clock import SystemClock
from streambackup.service.generations import create_topics
from streambackup.testing.events import GENERATION, TIME_MS, marker


class RawBus:
    """Of the generation that the events of ``streambackup.testing`` are stamped with."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._runner = asyncio.Runner()

    def __enter__(self) -> RawBus:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._runner.run(self._bus.close())
        self._runner.close()

    def create(self, partitions: int) -> None:
        """Make the topics, as ``topic create`` goes on with what it began before."""
        self._runner.run(create_marked(self._bus, partitions))

    @property
    def generations(self) -> list[Generation]:
        """Those that are not only prepared."""
        listed = self._runner.run(GenerationList(self._bus).read())
        return [one for one in listed if one.state != "preparing"]

    def publish(self, records: Sequence[Outgoing]) -> list[Placed]:
        return self._runner.run(publish_once(self._bus, records))

    def bounds(self) -> dict[TopicPartition, Bounds]:
        """What the topics of transactions and contents hold."""
        return self._runner.run(self._bus.bounds([TRANSACTIONS, BLOBS]))


async def create_marked(bus: Bus, partitions: int) -> None:
    await bus.create(specs_of(new_generation(partitions)))
    begin = marker(MarkerKind.GENERATION_BEGIN, account=None, time_ms=TIME_MS)
    begin = msgspec.structs.replace(begin, generation=GENERATION)
    await publish_once(bus, [Outgoing(TRANSACTIONS, None, encode_event(begin), 0)])
    await create_topics(bus, partitions, SystemClock())
