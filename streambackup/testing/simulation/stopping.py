"""A simulated process that stands still at a step which has a name, until it is told to go on."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from streambackup.bus.local_consumer import Found, LocalConsumer
from streambackup.bus.port import Bounds, Ownership, Record, TopicPartition
from streambackup.events.config import CONFIG_TOPIC, Generation
from streambackup.events.topics import BLOBS, TRANSACTIONS
from streambackup.realtime.filing import Filed, FilingRequest
from streambackup.realtime.stream_worker import StreamWorker
from streambackup.realtime.turn import Handler, Outcome, Turn
from streambackup.testing.group_bus import GroupBus
from streambackup.testing.simulation.process import Process, SimulatedClock, Surroundings
from streambackup.testing.virtual_loop import VirtualLoop

VERBS = {"sync open": "sync"}
SHORT = {TRANSACTIONS: "transactions", BLOBS: "blobs", CONFIG_TOPIC: "generations"}


class StoppingProcess(Process):
    """Stops ahead of a step when it comes to it for the n-th time. ``passed`` counts all steps."""

    def __init__(
        self,
        name: str,
        state: Path,
        around: Surroundings,
        clock: SimulatedClock,
        seed: str,
        *,
        stops_at: tuple[str, int] | None = None,
    ) -> None:
        super().__init__(name, state, around, clock, seed)
        self.passed = Counter[str]()
        self.stopped = asyncio.Event()
        self._stops_at = stops_at

    def comes_to(self, step: str) -> bool:
        """Whether it stops here."""
        self.passed[step] += 1
        if self.stopped.is_set() or (step, self.passed[step]) != self._stops_at:
            return False
        self.stopped.set()
        self._around.loop.stop_host(self)
        return True

    def pass_in_thread(self, step: str) -> None:
        if self.comes_to(step):
            VirtualLoop.park()

    async def pass_by(self, step: str) -> None:
        if self.comes_to(step):
            await asyncio.sleep(0)  # Until it goes on.

    def pass_step(self, what: str, path: Path) -> None:
        self.pass_in_thread(name_of(what, path.relative_to(self._around.root)))
        super().pass_step(what, path)

    def _connect(self, beside: asyncio.TaskGroup) -> GroupBus:
        around = self._around
        return _Bus(self, around.broker, around.groups, beside, around.loop.pause_s)

    def _worker(self, handler: Handler, generation: Generation) -> StreamWorker:
        return super()._worker(_Handler(self, handler), generation)

    def _file(self, request: FilingRequest) -> asyncio.Future[Filed]:
        self.comes_to("transactions: have filed what was sealed")
        return super()._file(request)


def name_of(what: str, path: Path) -> str:
    """What a step of the disk is called, by what the file at *path* in the store is."""
    return f"{VERBS.get(what, what)} {_kind(path)}"


def _kind(path: Path) -> str:
    if path == Path():
        return "of the store"
    if path.suffix == ".journal":
        return f"segment of {SHORT[path.parent.parent.name]}"
    if ".filed" in path.name:
        return "mark"
    if path.name.endswith(".partition.jsonl"):
        return "partition log"
    if path.suffix == ".jsonl":
        return "account log"
    if path.parts[:2] == ("items", "incoming") and len(path.parts) == 4:
        return "unfinished blob"
    if path.parts[0] == "items" and len(path.parts) == 3 and path.parts[1] != "incoming":
        return "blob"
    return "directory"


class _Bus(GroupBus):
    def __init__(self, process: StoppingProcess, *parts: Any) -> None:
        super().__init__(*parts)
        self._process = process

    async def consumer(
        self, topics: Collection[str], *, group: str | None, ownership: Ownership
    ) -> LocalConsumer:
        inner = await super().consumer(topics, group=group, ownership=ownership)
        consumer: Any = _Consumer(self._process, inner, SHORT[min(topics)])
        return consumer  # type: ignore[no-any-return]

    async def bounds(self, topics: Collection[str]) -> dict[TopicPartition, Bounds]:
        await self._process.pass_by(f"{SHORT[min(topics)]}: ask for bounds")
        return await super().bounds(topics)

    async def read(
        self, partition: TopicPartition, offset: int, *, records_max: int
    ) -> Sequence[Record]:
        await self._process.pass_by(f"{SHORT[partition.topic]}: read again")
        return await super().read(partition, offset, records_max=records_max)

    async def _look(self, wanted: Mapping[TopicPartition, int], records_max: int) -> Found:
        short = SHORT[min(wanted).topic]
        await self._process.pass_by(f"{short}: fetch")
        found = await super()._look(wanted, records_max)
        if any(found.records.values()):
            await self._process.pass_by(f"{short}: fetched")
        return found


class _Consumer:
    def __init__(self, process: StoppingProcess, inner: LocalConsumer, short: str) -> None:
        self._process = process
        self._inner = inner
        self._short = short

    async def acknowledge(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        await self._process.pass_by(f"{self._short}: acknowledge")
        await self._inner.acknowledge(next_offsets)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class _Handler:
    def __init__(self, process: StoppingProcess, inner: Handler) -> None:
        self._process = process
        self._inner = inner
        self._short = SHORT[inner.journal_topic]
        self.journal_topic = inner.journal_topic
        self.gather_bytes = inner.gather_bytes
        self.by_partition = inner.by_partition

    def began(self, turn: Turn, filed_to: int) -> int:
        self._process.pass_in_thread(f"{self._short}: begin")
        return self._inner.began(turn, filed_to)

    def take(self, batches: Sequence[tuple[Turn, Sequence[Record]]]) -> list[Outcome]:
        self._process.pass_in_thread(f"{self._short}: admit")
        outcomes = self._inner.take(batches)
        self._process.pass_in_thread(f"{self._short}: tell what is durable")
        return outcomes

    async def tick(self, turns: Collection[Turn]) -> list[Outcome]:
        await self._process.pass_by(f"{self._short}: look what is due")
        return await self._inner.tick(turns)

    async def ended(self, turns: Collection[Turn], *, drained: bool) -> None:
        await self._process.pass_by(f"{self._short}: end turns")
        await self._inner.ended(turns, drained=drained)
