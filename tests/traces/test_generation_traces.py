"""Each trace that breaks a weaker rule of generations, with a worker on a bus in memory."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from streambackup.bus.generations import (
    GenerationList,
    entry_of,
    marker_of,
    new_generation,
    specs_of,
)
from streambackup.bus.growth import Growing
from streambackup.bus.port import Outgoing
from streambackup.domain.entry import Entry
from streambackup.events.codec import encode_event
from streambackup.events.config import Generation
from streambackup.events.mailbox import MailboxEvent, MarkerKind
from streambackup.journal.life import life_of, read_lives, write_life
from streambackup.journal.mark import farthest_mark
from streambackup.realtime.generation_workers import GenerationWorkers
from streambackup.service.status import recorded
from streambackup.testing.events import ACCOUNT, GENERATION, TIME_MS, put
from streambackup.testing.partition_store import TOPIC
from tests.support.account_service import AccountService

FIRST = new_generation(1, id=GENERATION)


def message(number: int) -> MailboxEvent:
    return put(f"m{number}", number, time_ms=TIME_MS + number, folder="f")


@pytest.fixture
async def service(tmp_path: Path) -> AccountService:
    service = AccountService(tmp_path / "store")
    await service.bus.create(specs_of(FIRST))
    service.bus.publish([entry_of(FIRST)])
    return service


def publish(service: AccountService, generation: Generation, *events: MailboxEvent) -> None:
    topic = generation.transactions_topic
    service.bus.publish([Outgoing(topic, ACCOUNT.encode(), encode_event(e)) for e in events])


def end(service: AccountService) -> None:
    """End the only partition of the first generation."""
    value = encode_event(marker_of(FIRST, MarkerKind.GENERATION_END, TIME_MS))
    service.bus.publish([Outgoing(TOPIC, None, value, 0)])


async def grow(service: AccountService) -> Generation:
    growing = Growing(service.bus, service.clock, pause=lambda _: asyncio.sleep(0))
    await growing.grow(3, lambda _: None)
    return (await GenerationList(service.bus).read())[-1]


async def work_in(service: AccountService, generation: Generation) -> Exception | None:
    """Work through another generation than the first."""
    life = write_life(service.root, life_of(generation), service.disk)
    service.topic = generation.transactions_topic
    error = await service.work(in_life=life)
    service.topic = TOPIC
    return error


def items(service: AccountService) -> list[str]:
    return sorted(service.reader().history(ACCOUNT).items)


def reasons(service: AccountService) -> list[str]:
    return [doubt.reason for doubt in service.reader().history(ACCOUNT).doubts]


@pytest.mark.parametrize("filed", [True, False], ids=["filed", "journalled"])
async def test_a_record_behind_the_end_is_set_aside_and_puts_its_account_in_doubt(
    service: AccountService, filed: bool
) -> None:
    """5 (b): in an old partition that nobody consumes there would be neither."""
    publish(service, FIRST, message(1))
    end(service)
    assert await service.work(drain=filed) is None
    assert (items(service), reasons(service)) == (["m1"], [])

    publish(service, FIRST, message(2))
    assert await service.work(drain=filed) is None

    assert items(service) == ["m1"]
    assert any("behind the end of its generation" in reason for reason in reasons(service))
    assert farthest_mark(service.path()).filed_to == (3 if filed else 2)


async def test_what_was_set_aside_counts_where_the_stream_goes_on(service: AccountService) -> None:
    """A producer that was held up sends it again there: nothing is lost, nothing folded twice."""
    publish(service, FIRST, message(1))
    second = await grow(service)
    publish(service, FIRST, message(2), message(3))
    publish(service, second, message(2), message(3))
    assert await service.work() is None
    assert items(service) == ["m1"]

    assert await work_in(service, second) is None

    found = [
        (entry.generation, member.id.sequence)
        for entry in service.reader().stream(ACCOUNT, [])
        if isinstance(entry, Entry)
        for member in entry.members
    ]
    assert found == [(GENERATION, 1), (second.generation, 2), (second.generation, 3)]
    assert items(service) == ["m1", "m2", "m3"]


class Started:
    """Stands for the worker of a generation, and waits for its end."""

    async def run(self, stop: asyncio.Event) -> None:
        await stop.wait()


async def begun(service: AccountService, *, in_order: bool) -> list[str]:
    """The generations whose workers begin now."""
    numbers: list[str] = []
    stop = asyncio.Event()

    def worker_of(generation: Generation) -> Started:
        numbers.append(generation.generation)
        asyncio.get_running_loop().call_soon(stop.set)
        return Started()

    takeover = service.takeover()
    workers = GenerationWorkers(service.bus, worker_of, takeover=takeover, in_order=in_order)
    await workers.run(stop)
    return numbers


async def test_transactions_of_the_next_generation_wait_for_all_ends_of_the_one_before(
    service: AccountService,
) -> None:
    """Else a reader finds newer transactions of an account, and not yet the older ones."""
    publish(service, FIRST, message(1))
    second = await grow(service)

    assert await begun(service, in_order=True) == [GENERATION]
    assert await begun(service, in_order=False) == [GENERATION, second.generation]

    assert await service.work() is None
    assert await begun(service, in_order=True) == [GENERATION, second.generation]
    assert [life.generation for life in read_lives(service.root)] == [
        GENERATION,
        second.generation,
    ]


async def test_partitions_of_the_same_number_in_other_topics_are_no_lives_of_each_other(
    service: AccountService,
) -> None:
    """Else whoever takes over an old partition would go on in the journal of the new one."""
    publish(service, FIRST, message(1))
    second = await grow(service)
    assert await service.work() is None
    publish(service, second, message(2))
    assert await work_in(service, second) is None

    publish(service, FIRST, message(9))
    assert await service.work() is None

    assert items(service) == ["m1", "m2"]
    assert not [reason for reason in reasons(service) if "gap" in reason]
    assert any("behind the end" in reason for reason in reasons(service))


async def test_what_was_not_read_of_deleted_topics_is_a_gap_and_the_next_generation_goes_on(
    service: AccountService,
) -> None:
    publish(service, FIRST, message(1))
    second = await grow(service)
    service.bus.delete(TOPIC)

    assert await begun(service, in_order=True) == [second.generation]
    assert await begun(service, in_order=True) == [second.generation]

    gaps = [reason for reason in reasons(service) if "the topic was deleted" in reason]
    assert len(gaps) == 1
    assert recorded(service.root).gaps == 1
