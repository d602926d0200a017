"""What a topic held before it was made anew is filed too, and told of what was set aside in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from streambackup.bus.generations import new_generation
from streambackup.bus.port import TopicPartition, TopicSpec
from streambackup.domain.partition_event import PartitionEventKind
from streambackup.events.topics import QUARANTINE
from streambackup.journal.life import life_of, read_lives, write_life
from streambackup.journal.mark import farthest_mark
from streambackup.journal.owner import PartitionOwner, inherit
from streambackup.reading.partition_log import filed_events
from streambackup.realtime.ended_lives import ended_lives, file_ended
from streambackup.realtime.notices import Notices, NoticeTopic
from streambackup.runtime.disk import Disk
from streambackup.runtime.metrics import Metrics
from streambackup.testing.events import ACCOUNT, TIME_MS, put
from streambackup.testing.partition_store import TOPIC, identity
from tests.support.account_service import AccountService


@pytest.fixture
async def service(tmp_path: Path) -> AccountService:
    """Its topic was made anew before a worker that was killed had filed anything."""
    service = AccountService(tmp_path / "store")
    await service.create()
    service.publish(put("m1", 1, folder="f"))
    service.publish_raw(ACCOUNT.encode(), b"junk")
    service.files = False
    assert await service.work(drain=False) is None
    service.files = True
    service.bus.renew(TOPIC)
    service.publish(put("m2", 2, folder="f", time_ms=TIME_MS + 9))
    return service


async def test_the_rest_of_an_ended_life_is_filed(service: AccountService) -> None:
    assert farthest_mark(service.path()).filed_to == 0
    assert await service.work() is None

    kinds = [event.kind for event in filed_events(service.path())]
    assert kinds == [PartitionEventKind.QUARANTINE, PartitionEventKind.GAP]
    assert farthest_mark(service.path()).filed_to == 3
    assert sorted(service.reader().examine(ACCOUNT).items) == ["m1", "m2"]
    assert b'streambackup_gaps_total{topic="mailbox.transactions"} 1.0' in (
        service.metrics.exposition()
    )


async def test_it_is_filed_once(service: AccountService) -> None:
    assert await service.work() is None
    path = service.path(generation=read_lives(service.root)[-1].generation)
    before = sorted(service.path().directory.iterdir())
    file_ended(path, moment_ms=100, now_ms=TIME_MS, disk=Disk())

    assert [life.generation for life in ended_lives(path)] == [service.life.generation]
    assert sorted(service.path().directory.iterdir()) == before


async def test_another_generations_partition_is_no_ended_life(service: AccountService) -> None:
    """Although it has as many of them: it has an owner of its own."""
    life = life_of(new_generation(service.life.partitions, after=new_generation(1)))
    life = write_life(service.root, life, Disk())

    assert life.partitions == service.life.partitions
    assert ended_lives(service.path(generation=life.generation)) == []


async def topic_now() -> NoticeTopic:
    return NoticeTopic(QUARANTINE, 1)


async def test_what_an_ended_life_set_aside_is_told(service: AccountService) -> None:
    assert await service.work() is None
    path = service.path(generation=read_lives(service.root)[-1].generation)
    cover, epoch, _ = inherit(path, Disk())
    owner = PartitionOwner(path, Disk(), identity(), epoch, cover)
    await service.bus.create([TopicSpec(name=QUARANTINE, partitions=1, retention_ms=-1)])
    for _ in range(2):
        notices = Notices(
            bus=service.bus, topic=topic_now, owners=lambda: [owner], disk=Disk(), metrics=Metrics()
        )
        await notices.publish()

    told = await service.bus.read(TopicPartition(QUARANTINE, 0), 0, records_max=10)
    assert [record.key for record in told] == [ACCOUNT.encode()]
