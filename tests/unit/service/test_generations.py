"""Whose backup is the primary, and topics that hold what nobody of ours wrote."""

from __future__ import annotations

from collections.abc import Collection

import msgspec
import pytest

from streambackup.bus.port import Outgoing, TopicSpec
from streambackup.errors import TopicError
from streambackup.events.config import CONFIG_TOPIC, PRIMARY_KEY, Primary
from streambackup.service.generations import (
    claim_primary,
    create_topics,
    find_generation,
    primary_store,
)
from streambackup.testing.memory_bus import MemoryBus, MemoryProducer
from tests.support.manual_clock import ManualClock


class RacingBus(MemoryBus):
    """Another store claims the topics between our look and what we publish. As on Kafka, what was
    published just now is not compacted yet.
    """

    rival: str | None = None

    async def create(self, specs: Collection[TopicSpec]) -> list[str]:
        return await super().create(
            [msgspec.structs.replace(spec, compacted=False) for spec in specs]
        )

    async def producer(self) -> MemoryProducer:
        producer = await super().producer()
        rival, self.rival = self.rival, None
        if rival is not None:
            entry = msgspec.json.encode(Primary(rival))
            await producer.publish([Outgoing(CONFIG_TOPIC, PRIMARY_KEY, entry)])
        return producer


@pytest.fixture
async def bus() -> RacingBus:
    clock = ManualClock()
    bus = RacingBus(clock=clock)
    await create_topics(bus, 1, clock)
    return bus


async def publish(bus: MemoryBus, key: bytes, value: bytes) -> None:
    await (await bus.producer()).publish([Outgoing(CONFIG_TOPIC, key, value)])


async def test_the_first_store_is_the_primary_and_stays_it(bus: RacingBus) -> None:
    assert await primary_store(bus) is None
    for store in ("ours", "ours", "theirs"):
        assert await claim_primary(bus, store) == "ours"
        assert await primary_store(bus) == "ours"


async def test_of_two_that_claim_at_once_the_later_is_the_replica(bus: RacingBus) -> None:
    bus.rival = "theirs"
    assert await claim_primary(bus, "ours") == "theirs"
    assert await claim_primary(bus, "theirs") == "theirs"
    kept = (await bus.latest(CONFIG_TOPIC))[PRIMARY_KEY]
    assert msgspec.json.decode(kept, type=Primary).store == "theirs"


@pytest.mark.parametrize("value", [b"{}", b"no json", b'{"store":"\xff"}', b"[" * 9_999])
async def test_what_is_no_primary_is_one_clear_error(bus: RacingBus, value: bytes) -> None:
    await publish(bus, PRIMARY_KEY, value)
    with pytest.raises(TopicError, match="no primary"):
        await claim_primary(bus, "ours")


@pytest.mark.parametrize("value", [b"{}", b'{"generation":"\xff"}', b"[" * 9_999])
async def test_what_is_no_generation_is_one_clear_error(bus: RacingBus, value: bytes) -> None:
    await publish(bus, b"generation/x", value)
    with pytest.raises(TopicError, match="no generation"):
        await find_generation(bus)
