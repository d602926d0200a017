"""Growth: a new generation of the topics, with more partitions, follows the one that is open.

What is left to do is read off the bus and planned (``plan``); then one step is done, and it is
looked again. So whoever comes after one that was killed at any step goes on with the next, and
two at the same time do each other's work.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum
from typing import NamedTuple

import msgspec

from streambackup.bus.generations import (
    GenerationList,
    describe_topics,
    draw_id,
    entry_of,
    marker_of,
    missing_begins,
    new_generation,
    no_topics,
    specs_of,
)
from streambackup.bus.port import Bus, Outgoing, TopicPartition
from streambackup.bus.publishing import publish_once
from streambackup.domain.words import counted
from streambackup.errors import InvalidEventError, UsageError
from streambackup.events.codec import decode_mailbox_event, encode_event
from streambackup.events.config import CONFIG_TOPIC, Generation, newest, successor
from streambackup.events.mailbox import Marker, MarkerKind
from streambackup.runtime.clock import Clock

QUIET_S = 1.0
QUIET_LOOKS_MAX = 10
"""What producers had begun to send when the generation closed may still come: the end records wait
until nothing did for a second, ten seconds at most.
"""
SCAN_RECORDS = 500


class StepName(StrEnum):
    PREPARE = "prepare"
    CREATE = "create"
    BEGIN = "begin"
    CLOSE = "close"
    END = "end"
    SETTLE = "settle"
    OPEN = "open"


class Step(msgspec.Struct, frozen=True):
    """One thing that is to be done; all of it may be done again."""

    name: StepName
    what: str


class Seen(msgspec.Struct, frozen=True):
    """How far a growth is: the generation that grows, and the one after it where one is prepared,
    with those of its topics that are missing and the number of its partitions without a beginning.
    ``ends`` are where the end records are, None where there is none yet. Where it *moves* to
    another bus, that one will list what was *earlier* too.
    """

    before: Generation
    after: Generation | None = None
    missing: tuple[str, ...] = ()
    unbegun: int = 0
    ends: tuple[int | None, ...] = ()
    moves: bool = False
    earlier: tuple[Generation, ...] = ()


class Old(NamedTuple):
    """The embedded bus of *store*, which a growth leads away from."""

    bus: Bus
    store: str


class Grown(msgspec.Struct, frozen=True):
    """The open generation; ``pause_s`` is how long sources had to wait, None where they did not."""

    generation: str
    number: int
    partitions: int
    pause_s: float | None
    warnings: list[str]


def plan(seen: Seen, partitions: int) -> list[Step]:
    """What is left to do until a generation of so many *partitions* is open; nothing where it is.

    Raises:
        UsageError: it would not be more, or a growth to another number is under way.
    """
    before, after = seen.before, seen.after
    enough = before.state == "open" and before.partitions == partitions and not seen.moves
    if (after is None and enough) or (after is not None and _is_over(before, after)):
        return []
    if after is None and before.state == "closed":
        raise UsageError("the stream was moved to other brokers already")
    if after is not None and after.partitions != partitions:
        raise UsageError(
            f"a growth to {after.partitions} partitions is under way",
            hint=f"Finish it first: streambackup topic grow --partitions {after.partitions}",
        )
    if partitions < before.partitions:
        raise UsageError(
            f"the topics have {before.partitions} partitions already",
            hint="A generation can only have as many or more.",
        )
    new = after or new_generation(partitions, after=before)
    opening = [_step(StepName.OPEN, new)] if after is None or after.state == "preparing" else []
    return [*_preparing(seen, new), *_closing(seen), *opening]


def _is_over(before: Generation, after: Generation) -> bool:
    return before.state == "closed" and after.state != "preparing"


def _preparing(seen: Seen, new: Generation) -> list[Step]:
    steps = []
    if seen.after is None:
        steps.append(_step(StepName.PREPARE, new))
    if seen.after is None or seen.missing:
        steps.append(_step(StepName.CREATE, new))
    if seen.after is None or seen.missing or seen.unbegun:
        steps.append(_step(StepName.BEGIN, new))
    return steps


def _closing(seen: Seen) -> list[Step]:
    steps = []
    if seen.before.state == "open":
        steps.append(_step(StepName.CLOSE, seen.before))
    if seen.before.state == "open" or None in seen.ends:
        steps.append(_step(StepName.END, seen.before))
    if seen.before.state != "closed":
        steps.append(_step(StepName.SETTLE, seen.before))
    return steps


def _step(name: StepName, of: Generation) -> Step:
    parts = counted(of.partitions, "partition")
    what = {
        StepName.PREPARE: f"list generation {of.number} with {parts} as being prepared",
        StepName.CREATE: "create "
        + ", ".join(spec.name for spec in specs_of(of) if not spec.compacted),
        StepName.BEGIN: f"write the first record of each of {parts} of {of.transactions_topic}",
        StepName.CLOSE: f"close generation {of.number}: sources wait from here on",
        StepName.END: f"when nothing more comes, write the end record of each of {parts} of "
        f"{of.transactions_topic}",
        StepName.SETTLE: f"list where generation {of.number} ends",
        StepName.OPEN: f"open generation {of.number}: sources go on there",
    }[name]
    return Step(name, what)


async def look(bus: Bus, old: Old | None = None) -> Seen:
    """How far a growth is, on *bus* or from the *old* one to it.

    Raises:
        UsageError: *bus* has topics of another stream. TopicError: there are no topics.
        BusError: the bus cannot be asked.
    """
    listed = await GenerationList(bus).read()
    past = listed if old is None else await GenerationList(old.bus).read()
    before = _growing(past)
    if before is None:
        raise no_topics()
    if not {one.generation for one in listed[:1]} <= {one.generation for one in past}:
        raise UsageError(
            "the brokers have topics of another stream",
            hint="A stream can only move to brokers without topics of ours.",
        )
    ready = [one for one in past if one.state != "preparing"]
    earlier = () if old is None else tuple(ready[: ready.index(before)])
    after = successor(listed, before)
    ends = await _ends(old.bus if old else bus, before) if before.state == "closing" else ()
    if after is None:
        return Seen(before, ends=ends, moves=old is not None, earlier=earlier)
    there = {described.name for described in await describe_topics(bus, after)}
    missing = tuple(spec.name for spec in specs_of(after) if spec.name not in there)
    unbegun = 0
    if after.transactions_topic not in missing:
        bounds = await bus.bounds([after.transactions_topic])
        unbegun = sum(at.end == 0 for at in bounds.values())
    return Seen(before, after, missing, unbegun, ends, old is not None, earlier)


def _growing(listed: Sequence[Generation]) -> Generation | None:
    """The generation that grows, or would. One may be listed as closing again behind an open one:
    somebody said so late, and where it ends has to be said again.
    """
    closing = (one for one in listed if one.state == "closing")
    return next(closing, newest(listed))


async def _ends(bus: Bus, closing: Generation) -> tuple[int | None, ...]:
    """Where the end records of a generation are that began to close at its ``ends``."""
    bounds = await bus.bounds([closing.transactions_topic])
    found = []
    for partition, lowest in enumerate(closing.ends):
        tp = TopicPartition(closing.transactions_topic, partition)
        begin = max(lowest, bounds[tp].begin)
        found.append(await _first_end(bus, tp, begin, closing.generation))
    return tuple(found)


async def _first_end(bus: Bus, tp: TopicPartition, offset: int, generation: str) -> int | None:
    while records := await bus.read(tp, offset, records_max=SCAN_RECORDS):
        for record in records:
            with contextlib.suppress(InvalidEventError):
                event = decode_mailbox_event(record.value)
                is_end = isinstance(event, Marker) and event.kind is MarkerKind.GENERATION_END
                if is_end and event.generation == generation:
                    return record.offset
        offset = records[-1].offset + 1
    return None


class Growing:
    """Does the steps of a growth on *bus*; with *old*, of one that leads from there to *bus*. A new
    generation gets its id from *draw*.
    """

    def __init__(
        self,
        bus: Bus,
        clock: Clock,
        *,
        old: Old | None = None,
        pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
        draw: Callable[[], str] = draw_id,
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._old = old
        self._pause = pause
        self._draw = draw
        self._warnings: list[str] = []
        self._pause_s: float | None = None

    async def grow(self, partitions: int, tell: Callable[[Step], object]) -> Grown:
        """Go on until a generation of so many *partitions* is open; *tell* hears of each step
        before it is done. On return sources may publish there. May be repeated.

        Raises:
            UsageError: as ``plan`` and ``look``. TopicError: as ``look``. BusError: the bus cannot
            be reached; what was done stays.
        """
        seen = await look(self._bus, self._old)
        while steps := plan(seen, partitions):
            tell(steps[0])
            await self._do(steps[0].name, seen, partitions)
            seen = await look(self._bus, self._old)
        now = seen.before if self._old is None else seen.after
        assert now is not None
        return Grown(now.generation, now.number, now.partitions, self._pause_s, self._warnings)

    async def _do(self, step: StepName, seen: Seen, partitions: int) -> None:
        before, after = seen.before, seen.after
        if step is StepName.PREPARE:
            await self._prepare(seen, partitions)
        elif step is StepName.CLOSE:
            await self._close(before)
        elif step is StepName.END:
            await self._end(before, seen.ends)
        elif step is StepName.SETTLE:
            ends = tuple(end for end in seen.ends if end is not None)
            closed = msgspec.structs.replace(self._marked(before), state="closed", ends=ends)
            await publish_once(self._old_bus, [entry_of(closed)])
        else:
            assert after is not None
            await self._make(step, seen, after)

    @property
    def _old_bus(self) -> Bus:
        """Where the generation that ends is listed and has its topics."""
        return self._bus if self._old is None else self._old.bus

    def _marked(self, before: Generation) -> Generation:
        """*before*, with where it is for those who do not look there."""
        store = None if self._old is None else self._old.store
        return msgspec.structs.replace(before, embedded_in=store)

    async def _make(self, step: StepName, seen: Seen, after: Generation) -> None:
        """What concerns the new generation."""
        if step is StepName.CREATE:
            self._warnings = await self._bus.create(specs_of(after))
        elif step is StepName.BEGIN:
            begins = await missing_begins(self._bus, after, self._clock.now_ms())
            await publish_once(self._bus, begins)
        else:
            # Behind it, what ended elsewhere: nobody finds that it is closed, and none open.
            told = [msgspec.structs.replace(after, state="open"), *self._moved(seen)]
            await publish_once(self._bus, [entry_of(one) for one in told])
            assert seen.before.closing_since_ms is not None
            self._pause_s = (self._clock.now_ms() - seen.before.closing_since_ms) / 1000

    def _moved(self, seen: Seen) -> list[Generation]:
        """What ends elsewhere, and what ended there before, as the new bus lists it too."""
        past = [*seen.earlier, seen.before] if seen.moves else []
        return [self._marked(one) for one in past]

    async def _prepare(self, seen: Seen, partitions: int) -> None:
        """List a new generation, unless somebody else was first: then nothing is left of it."""
        before = seen.before
        new = new_generation(partitions, id=self._draw(), after=before)
        await self._bus.create([spec for spec in specs_of(new) if spec.name == CONFIG_TOPIC])
        waiting = [msgspec.structs.replace(one, state="closing") for one in self._moved(seen)]
        told = [*waiting, msgspec.structs.replace(new, state="preparing")]
        await publish_once(self._bus, [entry_of(one) for one in told])
        first = successor(await GenerationList(self._bus).read(), before)
        if first is None or first.generation != new.generation:
            await publish_once(self._bus, [Outgoing(CONFIG_TOPIC, new.key, None)])

    async def _close(self, before: Generation) -> None:
        bounds = await self._old_bus.bounds([before.transactions_topic])
        ends = tuple(bounds[tp].end for tp in sorted(bounds))
        closing = msgspec.structs.replace(
            before, state="closing", closing_since_ms=self._clock.now_ms(), ends=ends
        )
        await publish_once(self._old_bus, [entry_of(closing)])

    async def _end(self, before: Generation, ends: tuple[int | None, ...]) -> None:
        await self._wait_for_quiet(before.transactions_topic)
        now_ms = self._clock.now_ms()
        value = encode_event(marker_of(before, MarkerKind.GENERATION_END, now_ms))
        topic = before.transactions_topic
        missing = [partition for partition, end in enumerate(ends) if end is None]
        records = [Outgoing(topic, None, value, partition) for partition in missing]
        await publish_once(self._old_bus, records)

    async def _wait_for_quiet(self, topic: str) -> None:
        before = None
        for _ in range(QUIET_LOOKS_MAX):
            now = await self._old_bus.bounds([topic])
            if now == before:
                break
            before = now
            await self._pause(QUIET_S)
