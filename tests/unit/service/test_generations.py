"""Whose backup is the primary, and topics that hold what nobody of ours wrote."""

from __future__ import annotations

from collections.abc import Collection

import msgspec
import pytest

from streambackup.bus.port import Outgoing, TopicSpec
from streambackup.errors import TopicError
from streambackup.events.config import CONFIG_TOPIC, PRIMARY_KEY, Primary, StoreSetup
from streambackup.metadata.store_config import StoreConfig
from streambackup.service.generations import (
    claim_primary,
    create_topics,
    find_generation,
    find_primary,
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


def config(store: str, moment_ms: int = 100) -> StoreConfig:
    return StoreConfig(store=store, created_ms=1, moment_ms=moment_ms, ignored_attributes=("x",))


async def publish(bus: MemoryBus, key: bytes, value: bytes) -> None:
    await (await bus.producer()).publish([Outgoing(CONFIG_TOPIC, key, value)])


async def test_the_first_store_is_the_primary_and_stays_it(bus: RacingBus) -> None:
    assert await primary_store(bus) is None
    for store in ("ours", "ours", "theirs"):
        assert await claim_primary(bus, config(store)) == "ours"
        assert await primary_store(bus) == "ours"


async def test_of_two_that_claim_at_once_the_later_is_the_replica(bus: RacingBus) -> None:
    bus.rival = "theirs"
    assert await claim_primary(bus, config("ours")) == "theirs"
    assert await claim_primary(bus, config("theirs")) == "theirs"
    kept = (await bus.latest(CONFIG_TOPIC))[PRIMARY_KEY]
    assert msgspec.json.decode(kept, type=Primary).store == "theirs"


async def test_the_topics_tell_how_the_primary_was_set_up(bus: RacingBus) -> None:
    await publish(bus, PRIMARY_KEY, b'{"store":"ours"}')  # as releases did that told nothing else
    assert await find_primary(bus) == Primary("ours")
    await claim_primary(bus, config("theirs", moment_ms=7))
    assert await find_primary(bus) == Primary("ours")
    await claim_primary(bus, config("ours", moment_ms=0))
    await publish(bus, PRIMARY_KEY, b'{"store":"ours"}')
    await publish(bus, PRIMARY_KEY, msgspec.json.encode(Primary("theirs")))
    setup = StoreSetup(created_ms=1, moment_ms=0, ignored_attributes=("x",))
    assert await find_primary(bus) == Primary("ours", setup)


@pytest.mark.parametrize("value", [b"{}", b"no json", b'{"store":"\xff"}', b"[" * 9_999])
async def test_what_is_no_primary_is_one_clear_error(bus: RacingBus, value: bytes) -> None:
    await publish(bus, PRIMARY_KEY, value)
    with pytest.raises(TopicError, match="no primary"):
        await claim_primary(bus, config("ours"))


@pytest.mark.parametrize("value", [b"{}", b'{"generation":"\xff"}', b"[" * 9_999])
async def test_what_is_no_generation_is_one_clear_error(bus: RacingBus, value: bytes) -> None:
    await publish(bus, b"generation/x", value)
    with pytest.raises(TopicError, match="no generation"):
        await find_generation(bus)
