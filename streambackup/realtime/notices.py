"""Notices: of what the owner of a partition set aside, others are told on ``mailbox.quarantine``.

They are made from what is durable here, so a killed owner's are published by the next one, and no
partition ever waits for them. One that is repeated is the same notice.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import NamedTuple

import structlog

from streambackup.bus.port import Bus, Outgoing, Producer
from streambackup.errors import BusError, NoSpaceError
from streambackup.events.mailbox import SCHEMA
from streambackup.events.notice import NOTICE_KEY_BYTES_MAX, Notice, encode_notice
from streambackup.journal.noticed import noticed_to, write_noticed
from streambackup.journal.owner import PartitionOwner
from streambackup.journal.segment import PartitionPath
from streambackup.reading.fresh_aside import FreshAside, Look
from streambackup.reading.set_aside import SetAside
from streambackup.realtime.ended_lives import ended_lives
from streambackup.runtime.disk import Disk
from streambackup.runtime.metrics import Metrics

log = structlog.get_logger()

LOOK_EVERY_S = 1.0
LONGEST_PAUSE_S = 60.0
AT_ONCE_RECORDS = 500
AT_ONCE_BYTES = 4 * 1024 * 1024
MARK_EVERY = 100_000
"""Offsets of a blob journal without a notice, after which a mark spares the next owner a look."""


class NoticeTopic(NamedTuple):
    """Where notices go: a topic of so many *partitions*."""

    name: str
    partitions: int


def notice_of(record: SetAside, topic: NoticeTopic) -> Outgoing:
    """The notice of *record*, under its key, or in the partition of its number where that is none
    or too long.
    """
    origin = record.origin
    notice = Notice(
        schema=SCHEMA,
        id=str(origin),
        topic=origin.topic,
        generation=origin.generation,
        partition=origin.partition,
        offset=origin.offset,
        published_ms=max(0, record.published_ms),
        size=record.size,
        reason=record.reason,
    )
    key = record.key
    if key is not None and len(key) <= NOTICE_KEY_BYTES_MAX:
        return Outgoing(topic.name, key, encode_notice(notice))
    return Outgoing(topic.name, None, encode_notice(notice), origin.partition % topic.partitions)


class _Watch:
    """A partition of one *owner*, in this life or one before, and how far its notices are."""

    def __init__(self, path: PartitionPath, owner: PartitionOwner, disk: Disk) -> None:
        self._path = path
        self._epoch = owner.epoch
        self._disk = disk
        self._marked = noticed_to(path)
        is_open = path == owner.path
        self._fresh = FreshAside(path, self._marked, lambda: owner.segment if is_open else None)

    def look(self) -> Look:
        return self._fresh.look(AT_ONCE_RECORDS, AT_ONCE_BYTES)

    def done(self, look: Look) -> None:
        """What *look* found is on the bus: the next owner need not say it again."""
        self._fresh.done(look)
        if look.found or look.reached - self._marked >= MARK_EVERY:
            write_noticed(self._path, self._epoch, look.reached, self._disk)
            self._marked = look.reached


def _watches(owner: PartitionOwner, disk: Disk) -> list[_Watch]:
    ended = [owner.path._replace(generation=k.generation) for k in ended_lives(owner.path)]
    return [_Watch(path, owner, disk) for path in (*ended, owner.path)]


class Notices:
    """Publishes the notices of the partitions that *owners* names, on behalf of a primary store, to
    the *topic* that there is at that time.
    """

    def __init__(
        self,
        *,
        bus: Bus,
        topic: Callable[[], Awaitable[NoticeTopic]],
        owners: Callable[[], Iterable[PartitionOwner]],
        disk: Disk,
        metrics: Metrics,
    ) -> None:
        self._bus = bus
        self._topic = topic
        self._owners = owners
        self._disk = disk
        self._metrics = metrics
        self._watched: dict[PartitionOwner, list[_Watch]] = {}
        self.failure: str | None = None
        """Why notices wait, if they do."""

    async def run(self, stop: asyncio.Event) -> None:
        """Look for what was set aside and publish it, until *stop* is set. Where the topic cannot
        be written it is tried again, after longer and longer pauses; nothing piles up meanwhile.

        Raises:
            StoreError: the disk failed.
        """
        pause_s = LOOK_EVERY_S
        while not stop.is_set():
            try:
                await self.publish()
            except (BusError, NoSpaceError) as error:
                if self.failure is None:
                    log.warning("notices_wait", reason=error.message)
                self.failure = error.message
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            else:
                if self.failure is not None:
                    log.info("notices_go_on")
                self.failure, pause_s = None, LOOK_EVERY_S
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pause_s)

    async def publish(self) -> None:
        """Publish the notices of all that is set aside by now.

        Raises:
            BusError, NoSpaceError: not all; those that are left are published the next time.
        """
        async with contextlib.AsyncExitStack() as closing:
            producer: Producer | None = None
            while looks := await asyncio.to_thread(self._look):
                found = [record for _, look in looks for record in look.found]
                self._metrics.notices_waiting.set(len(found))
                records = await self._notices_of(found)
                if records and producer is None:
                    producer = await self._bus.producer()
                    closing.push_async_callback(producer.close)
                if records and producer is not None:
                    await producer.publish(records)
                    self._metrics.notices.inc(len(records))
                await asyncio.to_thread(_done, looks)
                self._metrics.notices_waiting.set(0)
                if not records:
                    return

    async def _notices_of(self, found: Sequence[SetAside]) -> list[Outgoing]:
        if not found:
            return []
        topic = await self._topic()
        return [notice_of(record, topic) for record in found]

    def _look(self) -> list[tuple[_Watch, Look]]:
        """What there is to say next, of no more partitions than fit into one batch. Blocking."""
        self._watched = {
            owner: self._watched.get(owner) or _watches(owner, self._disk)
            for owner in self._owners()
        }
        looks = []
        room = AT_ONCE_RECORDS
        for watch in itertools.chain.from_iterable(self._watched.values()):
            look = watch.look()
            looks.append((watch, look))
            room -= len(look.found)
            if room <= 0:
                break
        return looks


def _done(looks: Sequence[tuple[_Watch, Look]]) -> None:
    for watch, look in looks:
        watch.done(look)
