"""Growth: what is planned, and that nobody can die at a step behind which it does not go on."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from streambackup.bus.generations import GenerationList, entry_of, new_generation, specs_of
from streambackup.bus.growth import Growing, Grown, Old, Seen, Step, StepName, look, plan
from streambackup.bus.port import Outgoing, TopicPartition
from streambackup.errors import TopicError, UsageError
from streambackup.events.codec import decode_mailbox_event, encode_event
from streambackup.events.config import Generation, successor
from streambackup.events.mailbox import Marker, MarkerKind
from streambackup.events.topics import TRANSACTIONS
from streambackup.runtime.clock import Clock
from streambackup.testing.events import put
from streambackup.testing.memory_bus import MemoryBus
from streambackup.testing.simulation.growing import DyingBus
from streambackup.testing.simulation.process import DeadProcessError
from streambackup.testing.virtual_loop import run
from tests.support.manual_clock import ManualClock

FIRST = new_generation(2, id="00000000000000aa")
SECOND = new_generation(3, id="00000000000000bb", after=FIRST)
PREPARING = msgspec.structs.replace(SECOND, state="preparing")
CLOSING = msgspec.structs.replace(FIRST, state="closing", closing_since_ms=0, ends=(0, 0))
CLOSED = msgspec.structs.replace(CLOSING, state="closed")
STEPS_MAX = 40
"""More than a growth from two to three partitions takes."""


async def small_bus(clock: Clock) -> MemoryBus:
    """Topics of two partitions, some records in them."""
    bus = MemoryBus(clock=clock)
    await bus.create(specs_of(FIRST))
    bus.publish([entry_of(FIRST)])
    publish(bus, TRANSACTIONS, range(1, 9))
    return bus


def publish(bus: MemoryBus, topic: str, sequences: range) -> None:
    events = [put("m", number, account=f"user{number}") for number in sequences]
    bus.publish([Outgoing(topic, event.account.encode(), encode_event(event)) for event in events])


def in_virtual_time(story: Callable[[], Awaitable[None]]) -> None:
    async def told() -> None:
        await story()

    run(told(), seed=1)


async def grow(bus: MemoryBus, clock: Clock, partitions: int = 3) -> tuple[Grown, list[StepName]]:
    told: list[Step] = []
    grown = await Growing(bus, clock).grow(partitions, told.append)
    return grown, [step.name for step in told]


async def markers(bus: MemoryBus, topic: str) -> list[list[MarkerKind]]:
    """The markers of each partition, in order."""
    found = []
    bounds = await bus.bounds([topic])
    for tp in sorted(bounds):
        records = await bus.read(tp, 0, records_max=100)
        events = [decode_mailbox_event(record.value) for record in records]
        found.append([event.kind for event in events if isinstance(event, Marker)])
    return found


def names(seen: Seen, partitions: int = 3) -> list[str]:
    return [step.name for step in plan(seen, partitions)]


@pytest.mark.parametrize(
    ("seen", "left"),
    [
        (Seen(FIRST), "prepare create begin close end settle open"),
        (Seen(FIRST, PREPARING, ("mailbox.blobs.g2",)), "create begin close end settle open"),
        (Seen(FIRST, PREPARING, (), 1), "begin close end settle open"),
        (Seen(FIRST, PREPARING), "close end settle open"),
        (Seen(CLOSING, PREPARING, ends=(4, None)), "end settle open"),
        (Seen(CLOSING, PREPARING, ends=(4, 4)), "settle open"),
        (Seen(CLOSED, PREPARING), "open"),
        (Seen(SECOND), ""),
        (Seen(CLOSING, SECOND, ends=(4, None)), "end settle"),
    ],
)
def test_what_is_done_is_not_planned_again(seen: Seen, left: str) -> None:
    assert names(seen) == left.split()


def test_each_step_says_what_it_does() -> None:
    told = [step.what for step in plan(Seen(FIRST), 3)]

    assert told[0] == "list generation 2 with 3 partitions as being prepared"
    assert told[1].startswith("create mailbox.transactions.g2, mailbox.inventory.g2")


@pytest.mark.parametrize(("seen", "partitions"), [(Seen(FIRST), 1), (Seen(FIRST, PREPARING), 4)])
def test_fewer_or_another_number_than_the_one_under_way_is_refused(
    seen: Seen, partitions: int
) -> None:
    with pytest.raises(UsageError):
        plan(seen, partitions)


async def test_without_topics_there_is_nothing_to_grow() -> None:
    with pytest.raises(TopicError, match="do not exist"):
        await look(MemoryBus(clock=ManualClock()))


def test_one_generation_ends_and_the_next_begins() -> None:
    async def story() -> None:
        clock = ManualClock()
        bus = await small_bus(clock)

        grown, steps = await grow(bus, clock)

        assert steps == [*StepName]
        first, second = await GenerationList(bus).read()
        assert (grown.generation, grown.number, grown.partitions) == (second.generation, 2, 3)
        assert (first.state, second.state) == ("closed", "open")
        assert await markers(bus, TRANSACTIONS) == [[MarkerKind.GENERATION_END]] * 2
        bounds = await bus.bounds([TRANSACTIONS])
        assert [end + 1 for end in first.ends] == [bounds[tp].end for tp in sorted(bounds)]
        begun = await markers(bus, second.transactions_topic)
        assert begun == [[MarkerKind.GENERATION_BEGIN]] * 3
        assert (await grow(bus, clock))[1] == []

    in_virtual_time(story)


@pytest.mark.parametrize("dies_in", range(1, STEPS_MAX))
def test_whoever_comes_after_one_that_died_goes_on_with_the_next_step(dies_in: int) -> None:
    async def story() -> None:
        clock = ManualClock()
        bus = await small_bus(clock)
        with contextlib.suppress(DeadProcessError):  # One with fewer steps lives.
            await grow(DyingBus(bus, random.Random(dies_in), dies_in), clock)
        between = await GenerationList(bus).read()

        await grow(bus, clock)

        first, second = await GenerationList(bus).read()
        assert {one.generation for one in between} <= {first.generation, second.generation}
        assert (first.state, second.state) == ("closed", "open")
        assert await markers(bus, TRANSACTIONS) == [[MarkerKind.GENERATION_END]] * 2
        begun = await markers(bus, second.transactions_topic)
        assert begun == [[MarkerKind.GENERATION_BEGIN]] * 3

    in_virtual_time(story)


@pytest.mark.parametrize("seed", range(20))
def test_two_that_grow_at_once_open_one_generation(seed: int) -> None:
    async def story() -> None:
        clock = ManualClock()
        bus = await small_bus(clock)
        chance = random.Random(seed)

        await asyncio.gather(*(grow(DyingBus(bus, chance, None), clock) for _ in range(2)))

        listed = await GenerationList(bus).read()
        assert [one.state for one in listed] == ["closed", "open"]
        ended = await markers(bus, TRANSACTIONS)
        assert all(MarkerKind.GENERATION_END in found for found in ended)

    in_virtual_time(story)


def test_the_first_of_two_that_were_prepared_at_once_follows() -> None:
    rival = msgspec.structs.replace(PREPARING, generation="00000000000000cc")

    assert successor([FIRST, rival, PREPARING], FIRST) == rival
    assert successor([FIRST, rival, SECOND], FIRST) == SECOND


EMBEDDED = "5" * 32


async def move(old: MemoryBus, new: MemoryBus, clock: Clock, partitions: int = 2) -> Grown:
    growing = Growing(new, clock, old=Old(old, EMBEDDED))
    return await growing.grow(partitions, lambda _: None)


@pytest.mark.parametrize("dies_in", range(1, 50, 2))
def test_a_move_to_brokers_goes_on_wherever_it_died(dies_in: int) -> None:
    """To as many partitions as there were, from a bus that had grown before."""

    async def story() -> None:
        clock = ManualClock()
        old, new = await small_bus(clock), MemoryBus(clock=clock)
        await grow(old, clock)
        chance = random.Random(dies_in)
        with contextlib.suppress(DeadProcessError):
            dying = [DyingBus(bus, chance, dies_in) for bus in (old, new)]
            await move(dying[0], dying[1], clock, 3)

        grown = await move(old, new, clock, 3)

        first, second, third = await GenerationList(new).read()
        assert [one.state for one in (first, second, third)] == ["closed", "closed", "open"]
        assert [one.embedded_in for one in (first, second, third)] == [EMBEDDED, EMBEDDED, None]
        assert (grown.generation, third.predecessor) == (third.generation, second.generation)
        left = await GenerationList(old).read()
        assert [one.ends for one in left] == [first.ends, second.ends]
        assert [one.state for one in left] == ["closed", "closed"]
        assert (await markers(old, second.transactions_topic))[0][-1] == MarkerKind.GENERATION_END
        assert await move(old, new, clock, 3) == msgspec.structs.replace(
            grown, pause_s=None, warnings=[]
        )

    in_virtual_time(story)


async def test_a_stream_does_not_move_to_brokers_of_another() -> None:
    clock = ManualClock()
    old, new = await small_bus(clock), MemoryBus(clock=clock)
    other = msgspec.structs.replace(FIRST, generation="00000000000000dd")
    await new.create(specs_of(other))
    new.publish([entry_of(other)])

    with pytest.raises(UsageError, match="another stream"):
        await move(old, new, clock)


async def test_a_stream_moves_once() -> None:
    clock = ManualClock()
    old = await small_bus(clock)
    old.publish([entry_of(msgspec.structs.replace(CLOSED, embedded_in=EMBEDDED))])

    with pytest.raises(UsageError, match="moved to other brokers"):
        await move(old, MemoryBus(clock=clock), clock)


def test_what_producers_had_begun_to_send_comes_ahead_of_the_end() -> None:
    async def story() -> None:
        clock = ManualClock()
        bus = await small_bus(clock)
        waits: list[float] = []

        async def send_more(wait_s: float) -> None:
            waits.append(wait_s)
            if len(waits) < 3:
                publish(bus, TRANSACTIONS, range(10, 30))

        grown = await Growing(bus, clock, pause=send_more).grow(3, lambda _: None)

        assert len(waits) == 3
        assert grown.pause_s is not None
        first, _ = await GenerationList(bus).read()
        for partition, end in enumerate(first.ends):
            behind = await bus.read(TopicPartition(TRANSACTIONS, partition), end, records_max=9)
            assert len(behind) == 1

    in_virtual_time(story)


async def test_who_said_late_that_a_generation_closes_is_put_right() -> None:
    """Its end may stand below where it is said to be looked for: another one is written."""
    clock = ManualClock()
    bus = await small_bus(clock)
    pausing = Growing(bus, clock, pause=lambda _: asyncio.sleep(0))
    await pausing.grow(3, lambda _: None)
    first, _ = await GenerationList(bus).read()
    late = msgspec.structs.replace(first, state="closing", ends=tuple(e + 1 for e in first.ends))
    bus.publish([entry_of(late)])

    await pausing.grow(3, lambda _: None)

    again, second = await GenerationList(bus).read()
    assert (again.state, second.state) == ("closed", "open")
    assert again.ends == late.ends


async def test_the_list_is_read_again_only_where_it_grew() -> None:
    bus = await small_bus(ManualClock())
    followed = GenerationList(bus)
    before = await followed.read()
    assert await followed.read() is before

    bus.publish([entry_of(PREPARING)])

    assert [one.generation for one in await followed.read()] == [
        FIRST.generation,
        SECOND.generation,
    ]


def test_an_entry_of_an_earlier_release_is_read() -> None:
    known = msgspec.json.decode(msgspec.json.encode(FIRST))
    del known["closing_since_ms"], known["ends"]

    assert msgspec.convert(known, Generation) == FIRST
