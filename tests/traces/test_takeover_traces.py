"""Each trace that breaks a weaker rule of taking over, with a worker on a bus in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from streambackup.domain.entry import Entry
from streambackup.domain.partition_event import PartitionEvent, PartitionEventKind
from streambackup.events.mailbox import MarkerKind, Put
from streambackup.journal.cover import find_cover
from streambackup.journal.life import read_lives, write_life
from streambackup.journal.mark import farthest_mark
from streambackup.testing.events import ACCOUNT, GENERATION, TIME_MS, marker, put
from streambackup.testing.memory_bus import MemoryBus
from streambackup.testing.partition_store import TOPIC
from tests.support.account_service import AccountService

SECOND = "00000000000000bb"
THIRD = "00000000000000cc"


def message(number: int, *, stamp: str | None = None, **fields: Any) -> Put:
    event = put(f"m{number}", number, time_ms=TIME_MS + number, folder="f", **fields)
    return msgspec.structs.replace(event, generation=stamp)


def beginning(generation: str) -> Any:
    """What ``topic create`` writes first into each partition."""
    begin = marker(MarkerKind.GENERATION_BEGIN, account=None)
    return msgspec.structs.replace(begin, generation=generation)


@pytest.fixture
async def service(tmp_path: Path) -> AccountService:
    service = AccountService(tmp_path / "store")
    await service.create()
    return service


def read(service: AccountService) -> list[tuple[str, int]]:
    """Generation and offset of each transaction that a reader finds."""
    return [
        (entry.generation, member.offset)
        for entry in service.reader().stream(ACCOUNT, [])
        if isinstance(entry, Entry)
        for member in entry.members
    ]


def items(service: AccountService) -> list[str]:
    return sorted(service.reader().history(ACCOUNT).items)


def gaps(service: AccountService, generation: str = GENERATION) -> list[tuple[int, int]]:
    return [
        (event.position.offset, event.end)
        for event in service.reader().stream(ACCOUNT, [])
        if isinstance(event, PartitionEvent) and event.kind is PartitionEventKind.GAP
        if event.position.generation == generation
    ]


def reasons(service: AccountService) -> list[str]:
    return [doubt.reason for doubt in service.reader().history(ACCOUNT).doubts]


async def test_a_stamp_of_another_generation_ends_the_epoch(service: AccountService) -> None:
    """1.8: checked at takeover only, a topic made anew is read from where the old one stood, and
    its records before that never.
    """
    service.publish(beginning(GENERATION), message(1, stamp=GENERATION))
    renewed = False

    def renew_under_the_worker() -> bool:
        nonlocal renewed
        if not renewed:
            renewed = True
            service.bus.renew(TOPIC)
            service.publish(beginning(SECOND), *(message(n, stamp=SECOND) for n in (2, 3, 4)))
        return len(read(service)) < 4

    assert await service.work(renew_under_the_worker) is None

    assert read(service) == [(GENERATION, 1), (SECOND, 1), (SECOND, 2), (SECOND, 3)]
    assert [life.generation for life in read_lives(service.root)] == [GENERATION, SECOND]
    assert gaps(service) == [(2, 3)]
    assert any("made anew" in reason for reason in reasons(service))


async def test_the_last_record_is_read_again_at_takeover(service: AccountService) -> None:
    """1.8: without stamps, only the last covered record shows that the topic is another."""
    service.publish(message(1), message(2))
    assert await service.work() is None
    service.bus.renew(TOPIC)
    service.publish(message(3), message(4), message(5))
    assert await service.work() is None
    ours, theirs = read_lives(service.root)

    assert theirs.derived
    assert [offset for generation, offset in read(service) if generation == theirs.generation] == [
        0,
        1,
        2,
    ]
    assert items(service) == ["m1", "m2", "m3", "m4", "m5"]
    assert gaps(service, ours.generation) == [(2, 3)]


@pytest.mark.parametrize("made_anew_with", [0, 1], ids=["empty", "shorter"])
async def test_a_position_beyond_the_end_is_a_gap(
    service: AccountService, made_anew_with: int
) -> None:
    """1.9: taken for "still reaches back", the worker waits for ever, or skips what comes."""
    service.publish(message(1), message(2))
    assert await service.work() is None
    service.bus.renew(TOPIC)
    service.publish(*(message(n) for n in (3, 4, 5)[:made_anew_with]))
    assert await service.work() is None
    service.publish(*(message(n) for n in (3, 4, 5)[made_anew_with:]))
    assert await service.work() is None

    assert items(service) == ["m1", "m2", "m3", "m4", "m5"]
    assert gaps(service) == [(2, 3)]
    assert any("made anew" in reason for reason in reasons(service))


async def test_a_first_start_behind_the_topics_beginning_is_a_gap(service: AccountService) -> None:
    """1.9: taken as the beginning, what retention took before the first start is never missed."""
    service.publish(*(message(n) for n in (1, 2, 3)))
    service.bus.trim(service.partition(), 2)
    assert await service.work() is None

    assert read(service) == [(GENERATION, 2)]
    assert gaps(service) == [(0, 2)]
    assert any("the topic begins at 2, the journal ends at 0" in r for r in reasons(service))


async def test_retention_that_overtakes_a_worker_is_a_gap(service: AccountService) -> None:
    """1.9: reset silently, the worker goes on behind records that it never read."""
    service.publish(message(1))
    overtaken = False

    def overtake() -> bool:
        nonlocal overtaken
        if not overtaken:
            overtaken = True
            service.publish(*(message(n) for n in (2, 3, 4)))
            service.bus.trim(service.partition(), 3)
        return len(read(service)) < 2

    assert await service.work(overtake) is None

    assert read(service) == [(GENERATION, 0), (GENERATION, 3)]
    assert gaps(service) == [(1, 3)]


async def test_a_gap_is_recorded_once(service: AccountService) -> None:
    """Restarts add nothing: the position stands behind it."""
    service.publish(*(message(n) for n in (1, 2, 3)))
    service.bus.trim(service.partition(), 2)
    for _ in range(3):
        assert await service.work() is None

    assert gaps(service) == [(0, 2)]


async def test_a_gap_is_filed_though_no_record_follows(service: AccountService) -> None:
    """Waiting for one, the account logs say for ever that nothing is missing."""
    service.publish(message(1), message(2))
    service.bus.trim(service.partition(), 2)
    looks = iter(range(20))

    assert await service.work(lambda: next(looks, None) is not None, drain=False) is None

    assert farthest_mark(service.path()).filed_to == 2


async def test_a_stray_record_is_set_aside(service: AccountService) -> None:
    """One producer of another generation would end the epoch at its every record, for ever."""
    service.publish(beginning(GENERATION), message(1, stamp=GENERATION))
    service.publish(message(2, stamp=THIRD), message(3, stamp=GENERATION), message(4))
    service.publish(message(5, stamp=THIRD), message(6, stamp=GENERATION))
    assert await service.work() is None

    assert items(service) == ["m1", "m3", "m4", "m6"]
    assert [life.generation for life in read_lives(service.root)] == [GENERATION]
    assert [r for r in reasons(service) if "meant for generation" in r] == [
        f"a record is in quarantine: it was meant for generation {THIRD}, this is {GENERATION}"
    ] * 2


async def test_strays_of_several_lives_end_the_epoch_once_each(service: AccountService) -> None:
    """Remembering the last stamp only, two producers left over end it at every record."""
    service.publish(beginning(GENERATION))
    for number in range(1, 13):
        stamp = (GENERATION, SECOND, GENERATION, THIRD)[number % 4]
        service.publish(message(number, stamp=stamp))
    assert await service.work() is None

    assert items(service) == ["m10", "m12", "m2", "m4", "m6", "m8"]
    assert len({name.epoch for name in service.path().segments()}) == 3


async def test_a_topic_that_holds_no_record_names_no_generation(tmp_path: Path) -> None:
    """Kafka's own markers take offsets, and a client is never handed them."""

    class OnlyMarkers(MemoryBus):
        async def read(self, *args: Any, **settings: Any) -> Any:
            return []

    service = AccountService(tmp_path / "store")
    await service.create()
    service.publish(*(message(n) for n in (1, 2, 3)))
    assert await service.work() is None
    service.bus = OnlyMarkers(clock=service.clock)
    await service.create()
    service.publish(message(4))
    assert await service.work() is None

    assert [life.derived for life in read_lives(service.root)] == [False, True]


async def test_a_stray_first_record_is_told_by_the_first_of_the_topic(
    service: AccountService,
) -> None:
    """With no record to read again, what the topic begins with has to prove whose it is."""
    service.publish(beginning(GENERATION), message(1, stamp=THIRD), message(2, stamp=GENERATION))
    service.batch_records_max = 1
    assert await service.work() is None

    assert items(service) == ["m2"]
    assert len(read_lives(service.root)) == 1


async def test_a_topic_made_anew_behind_a_gap_is_told_by_its_stamps(
    service: AccountService,
) -> None:
    """A gap leaves no record to compare, so a client goes on in another topic unnoticed."""
    service.publish(beginning(GENERATION), *(message(n, stamp=GENERATION) for n in (1, 2)))
    service.bus.trim(service.partition(), 3)
    assert await service.work() is None
    service.bus.renew(TOPIC)
    service.publish(beginning(SECOND), *(message(n, stamp=SECOND) for n in (3, 4, 5, 6)))
    assert await service.work() is None

    assert items(service) == ["m3", "m4", "m5", "m6"]
    assert gaps(service) == [(0, 3)]


async def test_a_topic_that_lost_its_end_is_read_again(service: AccountService) -> None:
    """The same generation at the same offsets, with other records: each has to be kept."""
    service.publish(beginning(GENERATION), *(message(n, stamp=GENERATION) for n in (1, 2, 3)))
    assert await service.work() is None
    service.bus.renew(TOPIC)
    service.publish(beginning(GENERATION), *(message(n, stamp=GENERATION) for n in (1, 4)))
    assert await service.work() is None

    assert items(service) == ["m1", "m2", "m3", "m4"]
    ours, again = read_lives(service.root)
    assert (ours.generation, again.derived) == (GENERATION, True)


async def test_topics_deleted_with_their_config_count_from_one_again(
    service: AccountService,
) -> None:
    """Folded by their own numbers, the older life may come last and undo the newer."""
    service.publish(message(1, flags="old"))
    assert await service.work() is None
    for generation in (SECOND, THIRD, "0" * 16):
        service.bus.renew(TOPIC)
        again = msgspec.structs.replace(service.life, generation=generation)
        write_life(service.root, again, service.disk)
        service.publish(beginning(generation), message(1, stamp=generation, flags=generation))
        assert await service.work(in_life=again) is None
    item = service.reader().history(ACCOUNT).items["m1"]

    assert item.current is not None
    assert [s.state["flags"] for s in item.states if not s.late] == [
        "old",
        SECOND,
        THIRD,
        "0" * 16,
    ]


@pytest.mark.parametrize("step", range(1, 30))
async def test_no_crash_while_a_life_begins_loses_it_or_the_gap(
    service: AccountService, step: int
) -> None:
    """The gap noted first, a restart goes on in the old life behind it; last, it may be missing."""
    service.publish(message(1), message(2))
    assert await service.work() is None
    service.bus.renew(TOPIC)
    service.publish(message(3), message(4), message(5), message(6))
    service.disk.count_anew()
    service.disk.dies_at = step
    await service.work()
    service.disk.crash(step)
    assert await service.work() is None

    assert items(service) == ["m1", "m2", "m3", "m4", "m5", "m6"]
    assert gaps(service) == [(2, 3)]
    assert len(read_lives(service.root)) == 2


async def test_a_position_is_durable_without_its_segments(service: AccountService) -> None:
    """Segments filed and deleted, the mark alone says where to go on, and what to read again."""
    service.publish(message(1), message(2))
    assert await service.work() is None
    for segment in service.path().segments():
        service.path().path_of(segment).unlink()
    assert find_cover(service.path()).end == 0
    service.publish(message(3))
    assert await service.work() is None

    assert read(service) == [(GENERATION, 0), (GENERATION, 1), (GENERATION, 2)]
    assert [segment.first for segment in service.path().segments()] == [2]
