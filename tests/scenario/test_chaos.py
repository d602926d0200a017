"""The short form of ``scripts/chaos``, and what it is made of."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from trials.chaos import disturb
from trials.crew import Absence, Taking, woken_zombies
from trials.links import Link
from trials.plan import BROKERS, ENDED_BY, TO_BROKERS, TO_WORKERS, WORKERS, draw_plan

SEED = 2
SECONDS = 120
ENDED = (ConnectionResetError, asyncio.IncompleteReadError)


@pytest.mark.scenario
@pytest.mark.kafka
@pytest.mark.crash
@pytest.mark.tool("openssl")
@pytest.mark.row("M7", part="nothing lost or doubled")
@pytest.mark.timeout(900)
async def test_workers_and_brokers_disturbed_at_random_lose_and_double_nothing(
    tmp_path: Path,
) -> None:
    """Nor change any history: it is that of one undisturbed worker."""
    told: list[str] = []

    outcome = await disturb(tmp_path, SEED, SECONDS, told.append)

    assert outcome.faults == [], told
    assert (outcome.lost, outcome.duplicated) == (0, 0)
    assert min(outcome.zombies, outcome.kills, outcome.rebalances, outcome.records) > 0


def test_the_same_seed_plans_the_same() -> None:
    assert draw_plan(7, 600) == draw_plan(7, 600) != draw_plan(8, 600)


def test_what_is_planned_is_taken_back_before_the_end() -> None:
    """One thing at a time for each worker, and for the brokers."""
    for subjects, kinds in ((range(1, WORKERS + 1), TO_WORKERS), ([0], TO_BROKERS)):
        for subject in subjects:
            acts = {*kinds, *(ENDED_BY[act] for act in kinds)}
            steps = [s for s in draw_plan(3, 600) if s.act in acts and subject in (0, s.who)]
            assert steps[-1].at_s <= 600
            for begun, ended in zip(steps[::2], steps[1::2], strict=True):
                assert (ended.act, ended.who) == (ENDED_BY[begun.act], begun.who)
    assert {step.who for step in draw_plan(3, 600) if step.act in TO_BROKERS} == set(
        range(1, BROKERS + 1)
    )


def test_a_zombie_is_one_whose_partition_was_taken_while_it_stood_still() -> None:
    takings = [Taking(1, "a", "t", 0), Taking(1, "b", "t", 1), Taking(5, "b", "t", 0)]

    assert woken_zombies([Absence("a", 4, 6)], takings) == 1
    assert (
        woken_zombies([Absence("a", 2, 4), Absence("a", 5.5, 6), Absence("b", 4, 6)], takings) == 0
    )


async def test_a_link_that_is_cut_ends_connections_and_one_that_is_silent_keeps_them() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            while piece := await reader.read(100):
                writer.write(piece)

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server, Link(server.sockets[0].getsockname()[1]).listening() as link:
        reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
        with contextlib.closing(writer):
            writer.write(b"one")
            assert await reader.readexactly(3) == b"one"
            link.silence()
            writer.write(b"two")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.readexactly(3), 0.05)
            link.mend()
            assert await reader.readexactly(3) == b"two"
            link.cut()
            with pytest.raises(ENDED):
                await reader.readexactly(1)
        reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
        with contextlib.closing(writer), pytest.raises(ENDED):
            await reader.readexactly(1)
