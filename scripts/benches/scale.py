"""Processor time per record of 8 processes that share a backlog, against one process alone.

What they take to start and to join is measured without records and left out. How many records a
second two processes record, against one, stands beside it.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from benches._harness import Bench, alternate, say
from benches._load import publish, transactions
from benches._service import WAIT_LIMIT_S, Service, Store, own_kafka, scratch
from benches.metadata import newest_mark

ROWS: list[str] = []
BENCH = Bench("scale", unit="us/record", at_most=1.15)
PARTITIONS = 16
MANY = 8
LOOK_EVERY_S = 0.5
OPTIONS = ("--role", "account", "--set", "shutdown.drain_s=120")
"""More processes than cores file what they have left when they are all told to end."""


def main() -> None:
    parser = BENCH.parser(__doc__, pairs=3)
    parser.add_argument("--records", type=int, default=10_000_000)
    parser.add_argument("--accounts", type=int, default=20_000)
    options = parser.parse_args()
    records: int = options.records
    with scratch("scale") as directory, own_kafka(directory) as address:
        store = Store.on_kafka(directory, address, PARTITIONS)
        store.keep_fresh()
        idle_s = {n: work_off(store, n, PARTITIONS).cpu_s for n in (1, MANY)}
        say(f"publishing {records:,} transactions of {options.accounts:,} accounts")
        load = transactions(records, options.accounts, store.generation)
        asyncio.run(publish(address, load, PARTITIONS))
        os.sync()

        def cpu_us(processes: int) -> float:
            done = work_off(store, processes, records + PARTITIONS)
            return (done.cpu_s - idle_s[processes]) / records * 1e6

        def records_per_s(processes: int) -> float:
            wall_s = work_off(store, processes, records + PARTITIONS).wall_s
            return records / wall_s

        pairs = alternate(lambda: cpu_us(MANY), lambda: cpu_us(1), pairs=options.pairs)
        speeds = alternate(lambda: records_per_s(2), lambda: records_per_s(1), pairs=options.pairs)
    also = {
        "processes": MANY,
        "records": records,
        "start_cpu_s": [round(idle_s[MANY], 2), round(idle_s[1], 2)],
        "two_records_per_s": round(statistics.median(pair.ours for pair in speeds)),
        "one_records_per_s": round(statistics.median(pair.rival for pair in speeds)),
        "two_to_one": round(statistics.median(pair.ratio for pair in speeds), 3),
        "cores": os.cpu_count(),
    }
    BENCH.finish(pairs, as_json=options.json, also=also)


class Done(NamedTuple):
    """Processor time of all processes, and how long they took from the first one's start on."""

    cpu_s: float
    wall_s: float


def work_off(store: Store, processes: int, records: int) -> Done:
    """Let so many processes record everything that is on the topic, and stop."""
    store.begin_again()
    names = [f"service-{number}" for number in range(processes)]
    with ThreadPoolExecutor(processes) as threads:
        services = list(threads.map(lambda name: Service(store, *OPTIONS, name=name), names))
        began_s = min(service.began_s for service in services)
        wait_for_all(services, records)
        cpu_s = sum(threads.map(Service.stop, services))
    say(f"{processes} processes: {cpu_s:.1f} s of processor time")
    return Done(cpu_s, (newest_mark(store.path) if records > PARTITIONS else began_s) - began_s)


def wait_for_all(services: Sequence[Service], records: int) -> None:
    """Until every process has a partition and so many records are durable."""
    deadline_s = time.monotonic() + WAIT_LIMIT_S
    while time.monotonic() < deadline_s:
        positions = defaultdict[str, float](float)
        for service in services:
            # One that gave a partition away still tells how far it was.
            for labels, position in service.labelled("streambackup_durable_position").items():
                positions[labels] = max(positions[labels], position)
        if sum(positions.values()) >= records and all(
            service.logged("partition_taken") for service in services
        ):
            return
        time.sleep(LOOK_EVERY_S)
    sys.exit(f"not recorded after {WAIT_LIMIT_S:g} s: {dict(positions)}")


if __name__ == "__main__":
    main()
