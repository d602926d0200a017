"""The parts of a service on a bus in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from streambackup.bus.generations import GenerationList
from streambackup.bus.port import TopicPartition
from streambackup.metadata.store_config import StoreConfig
from streambackup.runtime.clock import SystemClock
from streambackup.runtime.disk import Disk
from streambackup.service.settings import BlobSettings, Settings, StoreSettings
from streambackup.service.store_home import create_store, new_store_id
from streambackup.service.wiring import Workers
from streambackup.testing.memory_bus import MemoryBus
from streambackup.testing.simulation.broker import Broker
from streambackup.testing.simulation.mailboxes import GIVE_UP_BYTES


class TellingBus(Broker):
    """Tells when a group said how far it is."""

    def __init__(self) -> None:
        super().__init__(clock=SystemClock())
        self.heard = asyncio.Event()

    def note(self, group: str, next_offsets: Mapping[TopicPartition, int]) -> None:
        super().note(group, next_offsets)
        self.heard.set()


async def memory_workers(
    root: Path, bus: MemoryBus, *, disk: Disk | None = None, threads: int = 2
) -> Workers:
    """Of a new store at *root*, of settings that suit ``Mailboxes``."""
    config = StoreConfig(store=new_store_id(), created_ms=1)
    home = create_store(StoreSettings(path=root), config, Disk())
    blobs = BlobSettings(upload_give_up_bytes=GIVE_UP_BYTES, threads=threads)
    return Workers(
        settings=Settings(blobs=blobs),
        home=home,
        caches=home.state,
        bus=bus,
        listed=GenerationList(bus),
        embedded=None,
        primary="other",
        disk=disk or Disk(),
        clock=SystemClock(),
    )
