"""How far a store's workers are with each partition: as the bus tells it, and the journals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from streambackup.bus.port import Bus, TopicPartition
from streambackup.events.config import Generation
from streambackup.events.topics import BLOBS, TRANSACTIONS
from streambackup.journal.cover import newest_epoch
from streambackup.journal.life import Life, read_lives
from streambackup.reading.lives import last_path
from streambackup.service.headroom import Behind
from streambackup.service.store_home import StoreHome
from streambackup.service.wiring import group_name


class PartitionStatus(msgspec.Struct, frozen=True, kw_only=True):
    """``position`` is the next record to read, ``end`` the next one to be published, None where the
    bus cannot be asked; ``headroom_hours`` until the bus may drop a record that is not recorded
    yet, None where there is none, where it never will, or where that is not known. The newest epoch
    in which anything was journalled, and the node that did: whoever owns the partition now and has
    had nothing to write yet is not told.
    """

    topic: str
    partition: int
    position: int
    end: int | None
    lag: int | None
    headroom_hours: float | None = None
    epoch: int | None = None
    writer: str | None = None
    node: str | None = None

    @property
    def tp(self) -> TopicPartition:
        return TopicPartition(self.topic, self.partition)


class Journal(NamedTuple):
    """What a store keeps of a topic."""

    generation: str
    name: str


def journals_of(lives: Iterable[Generation | Life]) -> dict[str, Journal]:
    """Where topics are journalled, by their names on the bus."""
    journals = {}
    for life in lives:
        journals[life.transactions_topic] = Journal(life.generation, TRANSACTIONS)
        journals[life.blobs_topic] = Journal(life.generation, BLOBS)
    return journals


def with_epochs(
    home: StoreHome, journals: Mapping[str, Journal], partitions: Sequence[PartitionStatus]
) -> list[PartitionStatus]:
    """The *partitions* with their newest epochs; *journals* are where their topics are kept."""
    lives = read_lives(home.root)
    found = []
    for at in partitions:
        path = last_path(home.root, lives, *journals[at.topic], at.partition)
        newest = newest_epoch(path)
        if newest is not None:
            at = msgspec.structs.replace(
                at, epoch=newest.epoch, writer=newest.writer, node=newest.node
            )
        found.append(at)
    return found


async def partition_statuses(
    home: StoreHome, bus: Bus, generations: Sequence[Generation]
) -> list[PartitionStatus]:
    """Lag as the bus tells it: what the store's workers acknowledged, against the end."""
    found = []
    for topic in journals_of(generations):
        bounds = await bus.bounds([topic])
        done = await bus.acknowledged(group_name(home.config.store, topic))
        for tp in sorted(bounds):
            found.append(_partition(tp, done.get(tp, bounds[tp].begin), bounds[tp].end))
    return found


def behind_of(partitions: Sequence[PartitionStatus]) -> list[Behind]:
    """Those of them with records that are not recorded yet."""
    return [Behind(at.tp, at.position, at.end) for at in partitions if at.lag and at.end]


def _partition(tp: TopicPartition, position: int, end: int) -> PartitionStatus:
    return PartitionStatus(
        topic=tp.topic,
        partition=tp.partition,
        position=position,
        end=end,
        lag=max(0, end - position),
    )
