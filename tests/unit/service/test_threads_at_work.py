"""The setting of threads is how many are at work."""

from __future__ import annotations

import asyncio
import threading
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from streambackup.blobs.loose import INCOMING, LooseBlobs
from streambackup.bus.port import Outgoing
from streambackup.domain.digest import digest_of
from streambackup.events.blob import Chunk
from streambackup.events.codec import encode_event
from streambackup.events.topics import BLOBS
from streambackup.journal.life import life_of, write_life
from streambackup.realtime.blob_worker import SHARE_BYTES
from streambackup.runtime.disk import AppendFile, Disk
from streambackup.runtime.tasks import supervise
from streambackup.service.generations import create_topics
from streambackup.service.supervisor import Role, Service
from tests.support.memory_service import TellingBus, memory_workers

LETTERS = [bytes([number]) * SHARE_BYTES for number in range(16)]
LIMIT_S = 30


class MeetingDisk(Disk):
    """Every thread that writes a blob waits at its first one for so many to do the same; one more
    would wait in vain.
    """

    def __init__(self, threads: int) -> None:
        super().__init__()
        self._meeting = threading.Barrier(threads)
        self.at_work: set[int] = set()

    def create(self, path: Path) -> AppendFile:
        if INCOMING in path.parts and threading.get_ident() not in self.at_work:
            self.at_work.add(threading.get_ident())
            self._meeting.wait(LIMIT_S)
        return super().create(path)


def whole(content: bytes) -> Outgoing:
    digest = digest_of(content)
    chunk = Chunk(schema=1, digest=digest, upload="one", offset=0, total=len(content), data=content)
    return Outgoing(BLOBS, digest.encode(), encode_event(chunk))


@pytest.mark.row("F022")
@pytest.mark.parametrize("threads", [1, 2, 8])
async def test_as_many_threads_as_set_write_blobs_at_once(tmp_path: Path, threads: int) -> None:
    bus = TellingBus()
    generation, _ = await create_topics(bus, 1, bus.clock)
    bus.publish([whole(content) for content in LETTERS])
    disk = MeetingDisk(threads)
    workers = await memory_workers(tmp_path, bus, disk=disk, threads=threads)
    write_life(tmp_path, life_of(generation), disk)
    stop = asyncio.Event()
    stored = LooseBlobs(tmp_path).digests

    async def watch(stop: asyncio.Event) -> None:
        while set(stored()) != set(map(digest_of, LETTERS)) and not stop.is_set():
            async with asyncio.timeout(LIMIT_S):
                await bus.heard.wait()
            bus.heard.clear()
        stop.set()

    async with AsyncExitStack() as stack:
        blob = Service(workers).parts([Role.BLOB], stack)["blob"]
        await supervise({"blob": blob, "watch": watch}, stop=stop, drain_s=LIMIT_S)
    assert len(disk.at_work) == threads
