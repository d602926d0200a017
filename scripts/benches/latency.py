"""From the acknowledgement of a record to its durable frame, p99, against a fetch wait and a sync.

``streambackup run`` records single transactions that come on Kafka at a steady rate; another one
does so on the embedded bus, small contents too. The rival is the setting ``worker.fetch_wait_ms``
and the run's median sync of a journal. A third one watches a Maildir, where every kind of change is
to be durable within the time promised.
"""

from __future__ import annotations

import asyncio
import bisect
import itertools
import json
import random
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from benches._harness import Bench, Pair, say
from benches._load import TOPIC, transactions
from benches._maildir_latency import watch_maildir
from benches._service import Service, Store, own_kafka, scratch
from benches._syncs import Syncs, note_syncs
from streambackup.bus.port import Outgoing, Producer
from streambackup.domain.digest import digest_of
from streambackup.events.blob import Chunk
from streambackup.events.codec import encode_event
from streambackup.events.mailbox import SCHEMA
from streambackup.events.topics import BLOBS
from streambackup.runtime.clock import SystemClock
from streambackup.service.settings import Settings
from streambackup.service.settings_loading import load_settings
from streambackup.service.wiring import open_bus

ROWS = ["F024"]
BENCH = Bench("latency", unit="ms", at_most=3.0)
PARTITIONS = 12
ACCOUNTS = 200


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
        maildir = watch_maildir(directory / "watched", options.seconds)
    pairs = [Pair(ours=found.p99_ms, rival=found.rival_ms) for found in kafka]
    also = {
        "p99_ratio_of_worst_round": round(max(pair.ratio for pair in pairs), 3),
        "p50_ratio": round(statistics.median(found.p50_ms / found.rival_ms for found in kafka), 3),
        "p50_ms": round(statistics.median(found.p50_ms for found in kafka), 2),
        "sync_ms": round(statistics.median(found.sync_ms for found in kafka), 2),
        "records_per_s": options.rate,
        "embedded": embedded[0].described(),
        "embedded_content": embedded[1].described(),
        "maildir": maildir.described(),
    }
    BENCH.finish(pairs, as_json=options.json, also=also, broken=maildir.broken())


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
    return [Waits(syncs, some[0].topic).round(some, wait_ms) for some in sent]


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


class Waits:
    """How long the records of *topic* waited for the frames that a service wrote."""

    def __init__(self, syncs: Syncs, topic: str) -> None:
        self._syncs = syncs
        self._topic = topic
        self._frames = defaultdict[int, list[tuple[int, int]]](list)
        """Of each partition: where its frames end, and when each was durable."""
        for partition, frame, since_ns in syncs.frames(topic):
            if frame.next > frame.first:
                self._frames[partition].append((frame.next, since_ns))

    def round(self, sent: Sequence[Sent], fetch_wait_ms: int) -> Round:
        waits_ms = statistics.quantiles(map(self._wait_ms, sent), n=100)
        first, last = sent[0].acknowledged_ns, sent[-1].acknowledged_ns
        sync_ms = statistics.median(self._syncs.took_ns(self._topic, first, last)) / 1e6
        return Round(waits_ms[49], waits_ms[98], sync_ms, fetch_wait_ms)

    def _wait_ms(self, record: Sent) -> float:
        """How long after its acknowledgement a record was durable; not at all, if it was before."""
        frames = self._frames[record.partition]
        _, durable_ns = frames[bisect.bisect_right(frames, (record.offset, 2**63))]
        return max(0.0, (durable_ns - record.acknowledged_ns) / 1e6)


if __name__ == "__main__":
    main()
