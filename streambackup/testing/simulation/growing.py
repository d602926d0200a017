"""Growths in a simulated world, each by a process of its own that may die at any step."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Collection, Sequence

from streambackup.bus.growth import Growing, Step
from streambackup.bus.port import Bounds, Outgoing, Placed, Record, TopicPartition, TopicSpec
from streambackup.errors import UsageError
from streambackup.runtime.clock import Clock
from streambackup.testing.memory_bus import MemoryBus
from streambackup.testing.simulation.process import DeadProcessError

STEPS_MAX = 60
PAUSES_S = (0.0, 0.0, 0.01, 0.3)


class DyingBus(MemoryBus):
    """The topics of *broker*, for a process that dies at one of its questions: ahead of what it
    asks for, or behind that.
    """

    def __init__(self, broker: MemoryBus, chance: random.Random, dies_in: int | None) -> None:
        super().__init__(clock=broker.clock, broker=broker)
        self._broker = broker
        self._chance = chance
        self._dies_in = dies_in

    async def _step(self) -> None:
        await asyncio.sleep(self._chance.choice(PAUSES_S))
        if self._is_over():
            raise DeadProcessError("growth")

    def _is_over(self) -> bool:
        if self._dies_in is not None:
            self._dies_in -= 1
        return self._dies_in is not None and self._dies_in <= 0

    async def bounds(self, topics: Collection[str]) -> dict[TopicPartition, Bounds]:
        await self._step()
        return await super().bounds(topics)

    async def read(
        self, partition: TopicPartition, offset: int, *, records_max: int
    ) -> Sequence[Record]:
        await self._step()
        return await super().read(partition, offset, records_max=records_max)

    async def latest(self, topic: str) -> dict[bytes, bytes]:
        await self._step()
        return await super().latest(topic)

    async def create(self, specs: Collection[TopicSpec]) -> list[str]:
        for spec in specs:
            await self._step()
            await super().create([spec])
        return []

    def publish(self, records: Sequence[Outgoing]) -> list[Placed]:
        """Of those to several partitions any part may come, before it dies."""
        places = []
        for record in records:
            if self._is_over():
                raise DeadProcessError("growth")
            places += self._broker.publish([record])
        return places


async def grow(
    broker: MemoryBus,
    clock: Clock,
    partitions: int,
    note: Callable[[str], object],
    chance: random.Random,
    *,
    dies: bool,
) -> None:
    """Grow to so many *partitions*, unless it *dies* on the way or finds another growth."""
    bus = DyingBus(broker, chance, chance.randint(1, STEPS_MAX) if dies else None)

    def draw() -> str:
        return f"{chance.getrandbits(64):016x}"

    def tell(step: Step) -> None:
        note(f"growth: {step.what}")

    with contextlib.suppress(DeadProcessError, UsageError):
        await Growing(bus, clock, draw=draw).grow(partitions, tell)
