"""Folding topics in memory: what comes out is what the workers of a group make of them."""

from __future__ import annotations

import asyncio
import itertools
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from streambackup.bus.bounded import Pace
from streambackup.bus.generations import GenerationList
from streambackup.bus.growth import Growing
from streambackup.bus.port import TopicPartition
from streambackup.errors import TopicError
from streambackup.events.config import Generation
from streambackup.events.topics import BLOBS, TRANSACTIONS
from streambackup.journal.life import read_lives
from streambackup.reading.store_reader import StoreReader
from streambackup.reading.survey import Survey
from streambackup.runtime.clock import SystemClock
from streambackup.service.filer import filing_processes
from streambackup.service.replay_folding import Step, find_topics, fold_topics
from streambackup.service.status import recorded
from streambackup.service.wiring import Workers, group_name
from streambackup.testing.simulation.mailboxes import Mailboxes
from streambackup.testing.simulation.producers import Producers
from tests.support.memory_service import TellingBus, memory_workers
from tests.support.raw_bus import create_marked

PARTITIONS = 3
BURSTS = 60
NO_LIMIT = Pace(None, SystemClock())


async def varied_bus(seed: str, *, grows: bool = False) -> TellingBus:
    """Transactions of every kind, contents whole and not, and what nobody can decode. Where it
    *grows*, in two generations.
    """
    bus = TellingBus()
    await create_marked(bus, PARTITIONS)
    mailboxes = Mailboxes(seed, Producers(bus))
    for burst in range(BURSTS):
        if grows and burst == BURSTS // 2:
            growing = Growing(bus, bus.clock, pause=lambda _: asyncio.sleep(0))
            await growing.grow(PARTITIONS + 2, lambda _: None)
        mailboxes.step()
    mailboxes.let_uploads_end()
    return bus


async def record(root: Path, bus: TellingBus) -> None:
    """What a service with both roles does until all transactions are durable."""
    own = await memory_workers(root, bus)
    stop = asyncio.Event()
    with filing_processes(1) as filer, ThreadPoolExecutor(1) as threads:
        handler = own.account_handler(filer)
        account = own.generation_workers(TRANSACTIONS, lambda _: handler)
        blob = own.generation_workers(BLOBS, partial(own.blob_handler, threads))
        async with asyncio.TaskGroup() as group:
            group.create_task(account.run(stop))
            group.create_task(blob.run(stop))
            while not await is_recorded(own, bus):
                await bus.heard.wait()
                bus.heard.clear()
            stop.set()


async def is_recorded(own: Workers, bus: TellingBus) -> bool:
    told: dict[TopicPartition, int] = {}
    for topic in bus.topics:
        told |= await bus.acknowledged(group_name(own.home.config.store, topic))
    ends = await bus.bounds(bus.topics)
    return {tp: held.end for tp, held in ends.items()} == told


def survey(root: Path) -> tuple[object, ...]:
    found = Survey(StoreReader(root), lambda _: None)
    return found.fingerprint, found.coverage(), found.accounts, found.in_doubt


async def replayed(root: Path, bus: TellingBus) -> list[Step]:
    steps: list[Step] = []
    topics = await find_topics(lambda _: bus, await GenerationList(bus).read())
    await fold_topics(await memory_workers(root, bus), topics, NO_LIMIT, steps.append)
    return steps


@pytest.mark.parametrize("grows", [False, True])
@pytest.mark.parametrize("seed", ["one", "two"])
async def test_a_replay_has_the_fingerprint_and_the_contents_of_the_first_store(
    tmp_path: Path, seed: str, grows: bool
) -> None:
    """However the fetches were cut, in whatever generations, and though some contents never
    came.
    """
    bus = await varied_bus(seed, grows=grows)
    await record(tmp_path / "first", bus)
    sizes = itertools.cycle([1, 5, 2, 1, 9])
    bus.split = lambda: next(sizes)
    before = await bus.bounds(bus.topics)
    steps = await replayed(tmp_path / "replay", bus)

    assert survey(tmp_path / "replay") == survey(tmp_path / "first")
    assert steps[-1].done == steps[-1].total == sum(held.end for held in before.values())
    assert await bus.bounds(bus.topics) == before


async def test_what_comes_while_a_replay_runs_is_for_the_next(tmp_path: Path) -> None:
    """It ends although uploads without an end hold the positions of their partitions back."""
    bus = await varied_bus("three")
    mailboxes = Mailboxes("more", Producers(bus))
    topics = await find_topics(lambda _: bus, await GenerationList(bus).read())
    ends = {tp: held.end for tp, held in topics.bounds.items()}
    steps: list[Step] = []

    def more(step: Step) -> None:
        steps.append(step)
        mailboxes.step()

    own = await memory_workers(tmp_path / "replay", bus)
    await fold_topics(own, topics, NO_LIMIT, more)
    at_end = {TopicPartition(at.topic, at.partition): at.read_to for at in steps[-1].partitions}
    assert at_end == ends
    mailboxes.let_uploads_end()
    again = await find_topics(lambda _: bus, await GenerationList(bus).read())
    assert sum(held.end for held in again.bounds.values()) > sum(ends.values())
    await fold_topics(own, again, NO_LIMIT, steps.append)
    await record(tmp_path / "first", bus)
    assert survey(tmp_path / "replay") == survey(tmp_path / "first")


async def test_what_is_lost_with_the_topics_of_a_generation_is_a_gap(tmp_path: Path) -> None:
    """Those behind it are folded after it, as the workers would."""
    bus = await varied_bus("five", grows=True)
    for topic in (TRANSACTIONS, BLOBS):
        bus.delete(topic)
    await replayed(tmp_path / "replay", bus)

    found = recorded(tmp_path / "replay")
    reader = StoreReader(tmp_path / "replay")
    assert found.gaps == PARTITIONS
    assert [life.generation for life in read_lives(reader.root)] == [
        one.generation for one in bus.generations
    ]
    assert any("the topic was deleted" in d.reason for d in reader.history("anna").doubts)


async def test_generations_whose_topics_are_gone_are_told(tmp_path: Path) -> None:
    bus = await varied_bus("four")
    (held,) = await GenerationList(bus).read()
    gone = Generation(
        generation="gone",
        number=1,
        predecessor=None,
        partitions=1,
        blob_partitions=1,
        transactions_topic="gone.transactions",
        blobs_topic="gone.blobs",
    )
    topics = await find_topics(lambda _: bus, [gone, held])
    assert (topics.held, topics.lost) == ([held], [gone])
    with pytest.raises(TopicError, match="do not exist"):
        await find_topics(lambda _: bus, [gone])
