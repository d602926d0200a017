"""The embedded bus keeps the contract."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from streambackup.bus.embedded import EmbeddedBus, Limits
from streambackup.bus.port import TopicPartition
from streambackup.bus.topics import LOCAL_RECORD_BYTES_MAX
from streambackup.runtime.clock import SystemClock
from tests.contract.bus_contract import BusContract
from tests.contract.bus_rig import Owner, Rig

FORGETFUL = Limits(passed_ms=-1)  # what all groups passed goes at the next acknowledgement


class EmbeddedRig(Rig):
    record_bytes_max = LOCAL_RECORD_BYTES_MAX

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.bus = EmbeddedBus(folder, clock=SystemClock())

    async def reopen(self) -> None:
        await self.bus.close()
        self.bus = EmbeddedBus(self._folder, clock=SystemClock())

    async def trim(self, partition: TopicPartition, begin: int) -> None:
        """As another process does whose group has come that far: noted, dropped, struck off."""
        other = EmbeddedBus(self._folder, clock=SystemClock(), limits=FORGETFUL)
        consumer = await other.consumer([partition.topic], group="test-trim", ownership=Owner())
        for _ in range(3):
            await consumer.acknowledge({partition: begin})
        await consumer.close()
        await other.close()


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[EmbeddedRig]:
    rig = EmbeddedRig(tmp_path / "bus")
    yield rig
    await rig.bus.close()


class TestEmbeddedBus(BusContract):
    pass
