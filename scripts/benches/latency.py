"""From the acknowledgement of a record to its durable frame, p99, against a fetch wait and a sync.

``streambackup run`` records single transactions that come on Kafka at a steady rate; another one
does so on the embedded bus, small contents too. A hook in their Python notes when each sync ended
and how long it took, and the journal tells which records the file held by then. The rival is the
setting ``worker.fetch_wait_ms`` and the run's median sync of a journal.
"""

from __future__ import annotations

import asyncio
import bisect
import contextlib
import itertools
import json
import os
import random
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from benches._harness import Bench, Pair, say
from benches._load import TOPIC, transactions
from benches._service import Service, Store, own_kafka, scratch
from streambackup.bus.port import Outgoing, Producer
from streambackup.domain.digest import digest_of
from streambackup.events.blob import Chunk
from streambackup.events.codec import encode_event
from streambackup.events.mailbox import SCHEMA
from streambackup.journal.frame import Frame, decode_frames
from streambackup.runtime.clock import SystemClock
from streambackup.service.settings import Settings
from streambackup.service.settings_loading import load_settings
from streambackup.service.wiring import open_bus

ROWS: list[str] = []
BENCH = Bench("latency", unit="ms", at_most=3.0)
PARTITIONS = 12
ACCOUNTS = 200
BLOBS = "mailbox.blobs"
NOTE_SYNCS = """
import os, time
file = open(os.environ["SYNCS_FILE"], "a", buffering=1)
def noted(sync):
    def call(descriptor):
        size, began = os.fstat(descriptor).st_size, time.monotonic_ns()
        sync(descriptor)
        ended = time.monotonic_ns()
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        file.write(f"{ended} {ended - began} {size} {path}\\n")
    return call
os.fdatasync, os.fsync = noted(os.fdatasync), noted(os.fsync)
"""
"""The ``sitecustomize`` of the service."""


def main() -> None:
    parser = BENCH.parser(__doc__)
    parser.add_argument("--seconds", type=float, default=15, help="of each round")
    parser.add_argument("--rate", type=float, default=100, help="records/s")
    options = parser.parse_args()
    pace = Pace(options.rate, options.seconds)
    with scratch("latency") as directory:
        with own_kafka(directory) as address:
            store = Store.on_kafka(directory, address, PARTITIONS)
            flags = ["bus.kind=kafka", f"bus.kafka.bootstrap_servers={address}"]
            rounds = [mails(store.generation, number) for number in range(options.pairs)]
            kafka = measure(store, flags, rounds, pace)
        alone = Store(directory / "embedded")
        alone.generation = json.loads(alone.run("init", "--json"))["generation"]
        both = [mails(alone.generation, 0), contents(alone.generation)]
        embedded = measure(alone, [], both, pace)
    pairs = [Pair(ours=found.p99_ms, rival=found.rival_ms) for found in kafka]
    also = {
        "p99_ratio_of_worst_round": round(max(pair.ratio for pair in pairs), 3),
        "p50_ratio": round(statistics.median(found.p50_ms / found.rival_ms for found in kafka), 3),
        "p50_ms": round(statistics.median(found.p50_ms for found in kafka), 2),
        "sync_ms": round(statistics.median(found.sync_ms for found in kafka), 2),
        "records_per_s": options.rate,
        "embedded": embedded[0].described(),
        "embedded_content": embedded[1].described(),
    }
    BENCH.finish(pairs, as_json=options.json, also=also)


class Pace(NamedTuple):
    """How many records a second, for how long."""

    rate: float
    seconds: float


class Sent(NamedTuple):
    """Where a record stands on the bus, and when its producer knew,
    in ns of the monotonic clock.
    """

    topic: str
    partition: int
    offset: int
    acknowledged_ns: int


class Round(NamedTuple):
    """What was measured in a round, in ms."""

    p50_ms: float
    p99_ms: float
    sync_ms: float
    fetch_wait_ms: float

    @property
    def rival_ms(self) -> float:
        return self.fetch_wait_ms + self.sync_ms

    def described(self) -> dict[str, float]:
        return {
            "p50_ratio": round(self.p50_ms / self.rival_ms, 3),
            "p99_ratio": round(self.p99_ms / self.rival_ms, 3),
            "p99_ms": round(self.p99_ms, 2),
        }


def mails(generation: str, number: int) -> Iterator[Outgoing]:
    """Transactions of accounts, other ones for each *number*."""
    for key, value in transactions(1_000_000, ACCOUNTS, generation, seed=number):
        yield Outgoing(TOPIC, key, value)


def contents(generation: str) -> Iterator[Outgoing]:
    """Small contents, each in one chunk."""
    dice = random.Random(1)
    for number in itertools.count():
        data = dice.randbytes(dice.randrange(1_000, 8_000))
        chunk = Chunk(
            schema=SCHEMA,
            generation=generation,
            digest=digest_of(data),
            upload=f"{number:016x}",
            offset=0,
            total=len(data),
            data=data,
        )
        yield Outgoing(BLOBS, chunk.digest.encode(), encode_event(chunk))


def measure(
    store: Store, flags: Sequence[str], rounds: Sequence[Iterator[Outgoing]], pace: Pace
) -> list[Round]:
    """Publish *rounds* one after the other to a service, and tell how it kept up."""
    settings = load_settings(config=None, flags=[f"store.path={store.path}", *flags])
    syncs_file = store.path.with_name("syncs")
    with note_syncs(syncs_file):
        service = Service(store)
    sent, records = asyncio.run(publish(settings, rounds, pace))
    service.wait_for("streambackup_durable_position", records)
    service.stop()
    syncs = Syncs(syncs_file, store.path)
    wait_ms = settings.worker.fetch_wait_ms
    return [syncs.round(some, wait_ms) for some in sent]


@contextlib.contextmanager
def note_syncs(file: Path) -> Iterator[None]:
    """Programs of Python that are started inside note their syncs in *file*."""
    hook = file.with_name("hook")
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(NOTE_SYNCS)
    before = os.environ.get("PYTHONPATH", "")
    os.environ |= {"PYTHONPATH": str(hook), "SYNCS_FILE": str(file)}
    try:
        yield
    finally:
        os.environ["PYTHONPATH"] = before


async def publish(
    settings: Settings, rounds: Sequence[Iterator[Outgoing]], pace: Pace
) -> tuple[list[list[Sent]], int]:
    """Publish *rounds* record by record. Returns what was sent, and what the bus holds then."""
    bus = open_bus(settings, SystemClock())
    try:
        producer = await bus.producer()
        sent = []
        for number, records in enumerate(rounds):
            say(f"round {number + 1}/{len(rounds)}: {pace.rate:g} records/s for {pace.seconds:g} s")
            sent.append(await publish_steadily(producer, records, pace))
        await producer.close()
        bounds = await bus.bounds([TOPIC, BLOBS])
        return sent, sum(held.end for held in bounds.values())
    finally:
        await bus.close()


async def publish_steadily(
    producer: Producer, records: Iterator[Outgoing], pace: Pace
) -> list[Sent]:
    began = time.monotonic()
    sent = []
    for number in range(int(pace.rate * pace.seconds)):
        await asyncio.sleep(began + number / pace.rate - time.monotonic())
        record = next(records)
        (place,) = await producer.publish([record])
        sent.append(Sent(record.topic, *place, time.monotonic_ns()))
    return sent


class Syncs:
    """What a service noted in *file*, and what its journals hold."""

    def __init__(self, file: Path, root: Path) -> None:
        self._root = root
        self._sizes = defaultdict[str, list[int]](list)
        self._ended_ns = defaultdict[str, list[int]](list)
        self._took_ns = defaultdict[str, list[int]](list)
        for line in file.read_text().splitlines():
            ended_ns, took_ns, size, path = line.split(" ", 3)
            self._sizes[path].append(int(size))
            self._ended_ns[path].append(int(ended_ns))
            self._took_ns[path].append(int(took_ns))
        self._frames = {topic: self._frames_of(topic) for topic in (TOPIC, BLOBS)}

    def _frames_of(self, topic: str) -> dict[int, list[tuple[int, int]]]:
        """Of each partition: where its frames end, and when each was durable."""
        found = defaultdict[int, list[tuple[int, int]]](list)
        for segment in sorted(self._root.glob(f"journal/*/{topic}/*/*.journal")):
            data = segment.read_bytes()
            placed = list(decode_frames(data))
            ends = [*(at for at, _ in placed[1:]), len(data)]
            for (_, frame), end in zip(placed, ends, strict=True):
                assert isinstance(frame, Frame)
                if frame.next > frame.first:
                    durable = frame.next, self._durable_ns(str(segment), end)
                    found[int(segment.parent.name)].append(durable)
        return found

    def _durable_ns(self, segment: str, end: int) -> int:
        """When the first *end* bytes of a file were synced, and with the first of them its name."""
        sync = bisect.bisect_left(self._sizes[segment], end)
        ended_ns = self._ended_ns[segment][sync]
        if sync > 0:
            return ended_ns
        of_root = self._ended_ns[str(self._root)]
        return of_root[bisect.bisect_left(of_root, ended_ns)]

    def round(self, sent: Sequence[Sent], fetch_wait_ms: int) -> Round:
        waits_ms = statistics.quantiles(map(self._wait_ms, sent), n=100)
        took_ns = [
            took_ns
            for path in self._took_ns
            if f"/{sent[0].topic}/" in path and path.endswith(".journal")
            for took_ns, ended_ns in zip(self._took_ns[path], self._ended_ns[path], strict=True)
            if sent[0].acknowledged_ns < ended_ns < sent[-1].acknowledged_ns
        ]
        sync_ms = statistics.median(took_ns) / 1e6
        return Round(waits_ms[49], waits_ms[98], sync_ms, fetch_wait_ms)

    def _wait_ms(self, record: Sent) -> float:
        """How long after its acknowledgement a record was durable; not at all, if it was before."""
        frames = self._frames[record.topic][record.partition]
        _, durable_ns = frames[bisect.bisect_right(frames, (record.offset, 2**63))]
        return max(0.0, (durable_ns - record.acknowledged_ns) / 1e6)


if __name__ == "__main__":
    main()
