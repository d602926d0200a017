"""From a source through the outbox to the bus."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest

from streambackup.domain.entry import ItemType
from streambackup.errors import NoSpaceError, SourceError
from streambackup.events.mailbox import Put
from streambackup.outbox.content import Topics
from streambackup.outbox.outbox import Outbox
from streambackup.outbox.relay import relay
from streambackup.sources.port import Memory, Observation
from streambackup.testing.fixed_stream import FixedStream
from tests.support.recording_producer import RecordingProducer

TOPICS = Topics(generation="0123456789abcdef")


class ScriptedSource:
    """Gives one item per number, then *ending* happens: an error, or nothing for ever."""

    name = "scripted"

    def __init__(self, numbers: range, ending: Exception | None = None) -> None:
        self.numbers = numbers
        self.ending = ending
        self.closed = False

    async def observe(self, memory: Memory) -> AsyncGenerator[list[Observation], None]:
        try:
            for number in self.numbers:
                key = f"m/{number}"
                if not memory.get("ann", [key]):
                    yield [task(str(number), remember={key: b""})]
            if self.ending:
                raise self.ending
            await asyncio.Event().wait()
        finally:
            self.closed = True


def task(item: str, remember: dict[str, bytes | None]) -> Observation:
    return Observation(
        account="ann",
        time_ms=1,
        operation="put",
        item=item,
        type=ItemType.TASK,
        state={"title": item},
        remember=remember,
    )


@pytest.fixture
def producer() -> RecordingProducer:
    return RecordingProducer()


@pytest.fixture
def outbox(tmp_path: Path, producer: RecordingProducer) -> Iterator[Outbox]:
    outbox = Outbox(tmp_path, "scripted", producer, stream=FixedStream(TOPICS))
    yield outbox
    outbox.close()


def items(producer: RecordingProducer) -> list[str]:
    return [event.item for event in producer.transactions() if isinstance(event, Put)]


async def test_everything_observed_is_sent_until_told_to_stop(
    outbox: Outbox, producer: RecordingProducer
) -> None:
    source, stop, counts = ScriptedSource(range(3)), asyncio.Event(), list[int]()

    def observed(count: int) -> None:
        counts.append(count)
        if len(counts) == 3:
            stop.set()

    await relay(source, outbox, stop, observed=observed)

    assert items(producer) == ["0", "1", "2"]
    assert counts == [1, 1, 1]
    assert source.closed


async def test_what_waited_is_sent_first_and_what_was_recorded_is_not_observed_again(
    outbox: Outbox, producer: RecordingProducer
) -> None:
    await outbox.record([task("0", {"m/0": b""})])

    with pytest.raises(SourceError, match="gone"):
        await relay(ScriptedSource(range(2), SourceError("gone")), outbox, asyncio.Event())

    assert items(producer) == ["0", "1"]


async def test_a_full_disk_is_waited_for(
    outbox: Outbox, producer: RecordingProducer, tmp_path: Path
) -> None:
    class FullOutbox(Outbox):
        refusals = 2

        async def record(self, observations):  # type: ignore[no-untyped-def]
            if self.refusals:
                self.refusals -= 1
                raise NoSpaceError("full")
            return await super().record(observations)

    full, stop, pauses = (
        FullOutbox(tmp_path, "full", producer, stream=FixedStream(TOPICS)),
        asyncio.Event(),
        [],
    )

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    await relay(
        ScriptedSource(range(1)), full, stop, observed=lambda count: stop.set(), pause=pause
    )
    full.close()

    assert items(producer) == ["0"]
    assert len(pauses) == 2
