"""Records/s until journalled, synced and filed, against a bare consumer loop on the same topic."""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
from pathlib import Path

from benches._harness import Bench, alternate, say
from benches._load import TOPIC, publish, transactions
from benches._service import Service, Store, own_kafka, scratch, wait_for_end

ROWS: list[str] = []
BENCH = Bench("metadata", unit="records/s", at_least=0.40)
PARTITIONS = 12


def main() -> None:
    parser = BENCH.parser(__doc__)
    parser.add_argument("--records", type=int, default=2_000_000)
    parser.add_argument("--accounts", type=int, default=2_000)
    options = parser.parse_args()
    with scratch("metadata") as directory, own_kafka(directory) as address:
        store = Store.on_kafka(directory, address, PARTITIONS)
        store.keep_fresh()
        say(f"publishing {options.records:,} transactions of {options.accounts:,} accounts")
        load = transactions(options.records, options.accounts, store.generation)
        size = asyncio.run(publish(address, load, PARTITIONS))
        os.sync()
        ours = Ours(store, options.records)
        rival = BareLoop(address, options.records)
        pairs = alternate(ours, rival, pairs=options.pairs)
    journalled = statistics.median(
        speed / pair.rival for speed, pair in zip(ours.journalled, pairs, strict=True)
    )
    also = {
        "records": options.records,
        "bytes_per_record": round(size / options.records),
        "journalled_records_per_s": round(statistics.median(ours.journalled)),
        "journalled_ratio": round(journalled, 3),
        "cpu_us_per_record": round(statistics.median(ours.cpu_us), 2),
        "rival_cpu_us_per_record": round(statistics.median(rival.cpu_us), 2),
    }
    BENCH.finish(pairs, as_json=options.json, also=also)


class Ours:
    """The service with the account role, from its first look at the topic to its last mark.

    It is not asked often how far it is: an answer costs it some milliseconds of its main thread.
    """

    def __init__(self, store: Store, records: int) -> None:
        self._store = store
        self._records = records
        self.journalled: list[float] = []
        self.cpu_us: list[float] = []

    def __call__(self) -> float:
        self._store.begin_again()
        service = Service(self._store, "--role", "account")
        began = service.began_s
        service.wait_for(
            "streambackup_durable_position", self._records + PARTITIONS, look_every_s=0.5
        )
        journalled = self._store.last_written_s() - began
        cpu_s = service.stop()
        filed = newest_mark(self._store.path) - began
        self.cpu_us.append(cpu_s / self._records * 1e6)
        self.journalled.append(self._records / journalled)
        return self._records / filed


def newest_mark(store: Path) -> float:
    """When the last filed mark was written, in seconds since 1970."""
    return max(mark.stat().st_mtime for mark in store.glob(f"journal/*/{TOPIC}/*/*.filed"))


class BareLoop:
    """aiokafka's ``getmany`` and nothing else, in a process of its own."""

    def __init__(self, address: str, records: int) -> None:
        arguments = [address, TOPIC, str(PARTITIONS), str(records + PARTITIONS)]
        self._command = [sys.executable, "-m", "benches._bare_loop", *arguments]
        self._records = records
        self.cpu_us: list[float] = []

    def __call__(self) -> float:
        with subprocess.Popen(self._command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            seconds = float(process.stdout.read())
            cpu_s, _ = wait_for_end(process)
        self.cpu_us.append(cpu_s / self._records * 1e6)
        return self._records / seconds


if __name__ == "__main__":
    main()
