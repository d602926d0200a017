"""From a worker told to end to the first durable record of its partitions' next owner, in seconds.

The rival is a bare consumer of the same topic with the same group settings, to its first record.
After a death, the least time that the brokers take to notice one (the session time-out less one
heartbeat) is subtracted on both sides.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from aiokafka import AIOKafkaProducer

from benches._harness import Bench, Pair, alternate, say
from benches._load import TOPIC, transactions
from benches._service import Service, Store, own_kafka, scratch
from benches._syncs import Syncs, note_syncs
from streambackup.bus.kafka.connection import KafkaSettings
from streambackup.bus.port import partition_of

T = TypeVar("T")

ROWS: list[str] = []
BENCH = Bench("takeover", unit="s", at_most=1.5)
PARTITIONS = 12
RATE = 300
ACCOUNTS = 500
LOOK_EVERY_S = 0.1
WAIT_LIMIT_S = 120.0
SETTINGS = KafkaSettings(bootstrap_servers="")
HEARTBEAT_S = SETTINGS.heartbeat_interval_ms / 1000
NOTICED_S = SETTINGS.session_timeout_ms / 1000 - HEARTBEAT_S


class Members(Protocol):
    """Two members of a group, of which one stays and the other comes and goes."""

    def join(self) -> None:
        """Return when both have partitions."""
        ...

    def leave(self, *, die: bool) -> int:
        """Let the one go. Returns when, in ns of the monotonic clock."""
        ...

    def first_after(self, left_ns: int) -> int | None:
        """When the one that stayed had the first record of what the other had."""
        ...


def main() -> None:
    parser = BENCH.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="handovers that make one measurement")
    parser.add_argument("--deaths", type=int, default=3, help="the same of deaths, measured once")
    options = parser.parse_args()
    with scratch("takeover") as directory, own_kafka(directory) as address:
        store = Store.on_kafka(directory, address, PARTITIONS)
        with (
            steady_load(address, store.generation),
            Bare(directory, address) as bare,
            note_syncs(directory / "syncs"),
            Ours(store, directory / "syncs") as ours,
        ):
            pairs = alternate(
                lambda: handover_s(ours, options.rounds),
                lambda: handover_s(bare, options.rounds),
                pairs=options.pairs,
            )
            death = Pair(
                ours=handover_s(ours, options.deaths, die=True) - NOTICED_S,
                rival=handover_s(bare, options.deaths, die=True) - NOTICED_S,
            )
    also = {
        "handovers": options.rounds * options.pairs,
        "deaths": options.deaths,
        "after_death_s": [round(death.ours, 3), round(death.rival, 3)],
        "after_death_ratio": round(death.ratio, 3),
        "subtracted_s": NOTICED_S,
    }
    late = BENCH.missed(death.ratio)
    broken = [f"after a death {late}"] if late else []
    BENCH.finish(pairs, as_json=options.json, also=also, broken=broken)


def handover_s(members: Members, rounds: int, *, die: bool = False) -> float:
    """The mean of so many; each begins at some moment between two heartbeats."""
    chance = random.Random(rounds)
    taken_s = []
    for _ in range(rounds):
        members.join()
        time.sleep(chance.uniform(0, HEARTBEAT_S))
        left_ns = members.leave(die=die)
        first_ns = look_until(partial(members.first_after, left_ns))
        taken_s.append((first_ns - left_ns) / 1e9)
    say(f"{type(members).__name__}: {', '.join(f'{one:.2f}' for one in taken_s)} s")
    return statistics.mean(taken_s)


def look_until(look: Callable[[], T | None]) -> T:
    """The first answer that there is."""
    deadline_s = time.monotonic() + WAIT_LIMIT_S
    while (found := look()) is None:
        if time.monotonic() > deadline_s:
            sys.exit(f"nothing came of it within {WAIT_LIMIT_S:g} s")
        time.sleep(LOOK_EVERY_S)
    return found


class Ours:
    """Two services of one store."""

    def __init__(self, store: Store, syncs: Path) -> None:
        self._store = store
        self._syncs = syncs
        self._joined = 0
        self._held: set[int] = set()
        self._epochs: set[str] = set()

    def __enter__(self) -> Ours:
        self._staying = Service(self._store, "--role", "account", name="staying")
        return self

    def __exit__(self, *_: object) -> None:
        self._staying.stop()

    def join(self) -> None:
        self._joined += 1
        self._going = Service(self._store, "--role", "account", name=f"going-{self._joined}")
        self._held = look_until(self._share)

    def _share(self) -> set[int] | None:
        """What the one that goes has, once each partition's newest epoch has begun."""
        newest = dict[int, tuple[str, bool]]()
        for service in (self._staying, self._going):
            for event in service.logged("partition_taken"):
                taken = str(event["epoch"]), service is self._going
                partition = int(str(event["partition"]))
                newest[partition] = max(newest.get(partition, ("", False)), taken)
        begun = {epoch_of(segment) for segment in self._segments()}
        if len(newest) < PARTITIONS or not {epoch for epoch, _ in newest.values()} <= begun:
            return None
        return {number for number, (_, goes) in newest.items() if goes} or None

    def _segments(self) -> Iterator[Path]:
        yield from self._store.path.glob(f"journal/*/{TOPIC}/*/*.journal")

    def leave(self, *, die: bool) -> int:
        self._epochs = {epoch_of(segment) for segment in self._segments()}
        left_ns = time.monotonic_ns()
        if die:
            self._going.kill()
        else:
            self._going.stop()
        return left_ns

    def first_after(self, left_ns: int) -> int | None:
        found = [
            synced_ns
            for segment, synced_ns in Syncs(self._syncs, self._store.path).first_of_segments(TOPIC)
            if synced_ns > left_ns
            and int(segment.parent.name) in self._held
            and epoch_of(segment) not in self._epochs
        ]
        return min(found, default=None)


def epoch_of(segment: Path) -> str:
    return segment.name.rpartition("-")[0]


class Bare:
    """Two bare consumers."""

    def __init__(self, directory: Path, address: str) -> None:
        self._directory = directory
        self._environment = dict(os.environ)
        self._command = [sys.executable, "-m", "benches._bare_member", address, TOPIC]
        self._joined = 0
        self._held: set[int] = set()

    def __enter__(self) -> Bare:
        self._staying = self._start("staying")
        return self

    def __exit__(self, *_: object) -> None:
        self._staying.terminate()
        self._staying.wait()

    def _start(self, name: str) -> subprocess.Popen[bytes]:
        with self._told(name).open("wb") as output:
            return subprocess.Popen(self._command, stdout=output, env=self._environment)

    def _told(self, name: str) -> Path:
        return self._directory / f"bare-{name}"

    def _said(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._told(name).read_text().splitlines()]

    def join(self) -> None:
        self._joined += 1
        self._going = self._start(f"going-{self._joined}")
        self._held = look_until(self._share)

    def _share(self) -> set[int] | None:
        names = ("staying", f"going-{self._joined}")
        staying, going = (self._assigned(name) for name in names)
        whole = going and not staying & going and len(staying | going) == PARTITIONS
        return going if whole else None

    def _assigned(self, name: str) -> set[int]:
        shares = [line["assigned"] for line in self._said(name) if "assigned" in line]
        return set(shares[-1]) if shares else set()

    def leave(self, *, die: bool) -> int:
        left_ns = time.monotonic_ns()
        self._going.send_signal(signal.SIGKILL if die else signal.SIGTERM)
        self._going.wait()
        return left_ns

    def first_after(self, left_ns: int) -> int | None:
        found: list[int] = [
            line["at_ns"]
            for line in self._said("staying")
            if line.get("first_of") in self._held and line["at_ns"] > left_ns
        ]
        return min(found, default=None)


@contextlib.contextmanager
def steady_load(address: str, generation: str) -> Iterator[None]:
    """Transactions keep coming, ``RATE`` in a second."""
    over = threading.Event()
    thread = threading.Thread(
        target=lambda: asyncio.run(publish_steadily(address, generation, over))
    )
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


async def publish_steadily(address: str, generation: str, over: threading.Event) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=address, enable_idempotence=True)
    await producer.start()
    began_s = time.monotonic()
    try:
        for number, (key, value) in enumerate(transactions(10**9, ACCOUNTS, generation)):
            if over.is_set():
                break
            await asyncio.sleep(began_s + number / RATE - time.monotonic())
            await producer.send(TOPIC, value, key, partition_of(key, PARTITIONS))
    finally:
        await producer.stop()


if __name__ == "__main__":
    main()
