"""A short script of the workers, every state that a power cut in it may leave, and what must hold
of each.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import shutil
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from streambackup.bus.port import TopicPartition
from streambackup.coherency.check import check_store
from streambackup.journal.cover import find_cover
from streambackup.journal.mark import farthest_mark
from streambackup.journal.segment import PartitionPath
from streambackup.reading.fingerprint import fingerprint
from streambackup.reading.store_reader import StoreReader
from streambackup.realtime.account_worker import SegmentSettings
from streambackup.testing.events import GENERATION
from streambackup.testing.memory_bus import MemoryRecord
from streambackup.testing.simulation.mailboxes import Mailboxes
from streambackup.testing.simulation.producers import Producers
from streambackup.testing.simulation.recording_disk import RecordingDisk, write_image
from streambackup.testing.simulation.storage_trace import Image, Operation, Storage
from streambackup.testing.simulation.watcher import Watcher
from streambackup.testing.simulation.world import ViolationError, World
from streambackup.testing.virtual_loop import run

SEGMENTS = SegmentSettings(
    segment_bytes=600, segment_age_ms=2_000, segment_retention_ms=0, logs_max=2
)
BURSTS = 6
BURSTS_OF_A_PROCESS = 2
LATER_MS = 120_000
"""Ahead by so much segments that are filed are retired."""

Acknowledged = Mapping[TopicPartition, int]


class Recording(NamedTuple):
    """What an undisturbed run did. ``acknowledged`` is what was so at each of the operations."""

    base: Image
    operations: list[Operation]
    acknowledged: list[Acknowledged]
    records: dict[TopicPartition, list[MemoryRecord]]
    fingerprint: str


def record(root: Path, seed: int, *, syncfs: bool) -> Recording:
    """Let one process after the other work through a few bursts of mail, file them, retire what was
    filed and merge logs.
    """
    return run(_record(root, seed, syncfs=syncfs), seed=seed)


async def _record(root: Path, seed: int, *, syncfs: bool) -> Recording:
    world = World(
        root,
        f"{seed}",
        [],
        slots=1,
        segments=SEGMENTS,
        disk=partial(RecordingDisk, syncfs=syncfs),
    )
    disk = world.disk
    assert isinstance(disk, RecordingDisk)
    disk.look = partial(_acknowledged, world)
    await world.create_topics()
    mailboxes = Mailboxes(f"{seed} mail", Producers(world.broker))
    async with asyncio.TaskGroup() as among:
        for burst in range(BURSTS):
            if burst % BURSTS_OF_A_PROCESS == 0:
                await world.stop_all()
                world.fill_slots(among)
            mailboxes.step()
            await asyncio.sleep(3)
            if burst == BURSTS // 2:
                (process,) = world.living
                process.clock.offset_ms += LATER_MS
                await asyncio.sleep(3)
        await world.catch_up(among, mailboxes.let_uploads_end)
    return Recording(
        disk.base,
        disk.operations,
        disk.seen,
        dict(world.broker.kept),
        fingerprint(StoreReader(root)),
    )


def _acknowledged(world: World) -> Acknowledged:
    noted = world.broker.acknowledged_now()
    return {tp: at for of_group in noted.values() for tp, at in of_group.items()}


class CrashState(NamedTuple):
    """What a power cut behind so many operations left."""

    operations: int
    image: Image
    acknowledged: Acknowledged

    @property
    def digest(self) -> bytes:
        whole = hashlib.sha256()
        for path, content in sorted(self.image.items()):
            whole.update(f"{path} {None if content is None else len(content)} ".encode())
            whole.update(content or b"")
        return whole.digest()


def crash_states(recording: Recording, seed: int, samples: int) -> Iterator[CrashState]:
    """Behind every operation what a power cut may leave; where there is too much, some of it."""
    chance = random.Random(seed)
    storage = Storage(recording.base)
    acknowledged: Acknowledged = {}
    for count, operation in enumerate(recording.operations, 1):
        storage.apply(operation)
        acknowledged = recording.acknowledged[count - 1]
        for image in storage.crashed(chance, samples):
            yield CrashState(count, image, acknowledged)


class Bench:
    """Where states are laid out and looked at."""

    def __init__(self, directory: Path, recording: Recording) -> None:
        self._directory = directory
        self._recording = recording

    def judge(self, state: CrashState) -> None:
        """Raises ViolationError where *state* has a fault, or lacks anything acknowledged."""
        root = self._lay_out(state)
        if faults := check_store(root).faults:
            raise ViolationError(f"behind {state.operations} operations: {faults}")
        for (topic, partition), acknowledged in state.acknowledged.items():
            path = PartitionPath(root, GENERATION, topic, partition)
            found = find_cover(path, farthest_mark(path).cover).end
            if found < acknowledged:
                raise ViolationError(
                    f"behind {state.operations} operations: {topic}/{partition} reaches {found}, "
                    f"{acknowledged} acknowledged"
                )

    def go_on(self, state: CrashState) -> None:
        """Raises ViolationError where workers that go on from *state* do not get to the store that
        there would have been.
        """
        root = self._lay_out(state)
        run(self._go_on(root), seed=state.operations)
        if faults := check_store(root).faults:
            raise ViolationError(f"going on behind {state.operations} operations: {faults}")
        if fingerprint(StoreReader(root)) != self._recording.fingerprint:
            raise ViolationError(f"going on behind {state.operations} operations: another store")

    async def _go_on(self, root: Path) -> None:
        world = World(root, "going on", [], slots=1, segments=SEGMENTS)
        await world.create_topics()
        for tp, records in self._recording.records.items():
            world.broker.refill(tp, records)
        Watcher(world).look()
        mailboxes = Mailboxes("more", Producers(world.broker))
        async with asyncio.TaskGroup() as among:
            await world.catch_up(among, mailboxes.let_uploads_end)

    def _lay_out(self, state: CrashState) -> Path:
        shutil.rmtree(self._directory, ignore_errors=True)
        self._directory.mkdir()
        root = self._directory / "store"
        write_image(root, state.image)
        return root
