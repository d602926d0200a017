"""Peak memory while a backlog of 2,000,000 transactions is read, against one of 20,000."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import threading
from pathlib import Path

from benches._harness import Bench, Pair, say
from benches._load import publish, transactions
from benches._service import Service, Store, own_kafka, scratch

ROWS: list[str] = []
BENCH = Bench("memory", unit="MB", at_most=1.15)
PARTITIONS = 12
ACCOUNTS = 2_000
LOOK_EVERY_S = 0.02


def main() -> None:
    parser = BENCH.parser(__doc__, pairs=3)
    parser.add_argument("--records", type=int, default=2_000_000)
    parser.add_argument("--few", type=int, default=20_000, help="records of the small backlog")
    options = parser.parse_args()
    with scratch("memory") as directory, own_kafka(directory) as address:
        store = Store.on_kafka(directory, address, PARTITIONS)
        store.keep_fresh()
        load = transactions(options.records, ACCOUNTS, store.generation)
        asyncio.run(publish(address, itertools.islice(load, options.few), PARTITIONS))
        few = [peak(store, options.few) for _ in range(options.pairs)]
        say(f"publishing {options.records:,} transactions")
        asyncio.run(publish(address, load, PARTITIONS))
        os.sync()
        many = [peak(store, options.records) for _ in range(options.pairs)]
    pairs = [
        Pair(ours=big.all_mb, rival=small.all_mb) for big, small in zip(many, few, strict=True)
    ]
    also = {
        "counted": "for the service and each process it started the peak of its own RSS, summed",
        "records": options.records,
        "few": options.few,
        "service_mb": [round(many[-1].service_mb, 1), round(few[-1].service_mb, 1)],
        "others_mb": [round(peaks.all_mb - peaks.service_mb, 1) for peaks in (many[-1], few[-1])],
    }
    BENCH.finish(pairs, as_json=options.json, also=also)


def peak(store: Store, records: int) -> Peaks:
    """The peaks of the service while it works off *records*."""
    store.begin_again()
    service = Service(store, "--role", "account")
    with Peaks(service.process.pid) as peaks:
        service.wait_for("streambackup_durable_position", records + PARTITIONS)
        service.stop()
    say(f"{records:,} records: {peaks.all_mb:.1f} MB")
    return peaks


class Peaks:
    """Looks again and again how large a process and its descendants have ever been."""

    def __init__(self, service: int) -> None:
        self._service = service
        self._peaks: dict[int, float] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Peaks:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def service_mb(self) -> float:
        return self._peaks[self._service]

    @property
    def all_mb(self) -> float:
        return sum(self._peaks.values())

    def _look(self) -> None:
        while not self._over.wait(LOOK_EVERY_S):
            for process in family(self._service):
                with contextlib.suppress(OSError, StopIteration):
                    self._peaks[process] = peak_mb(process)


def family(process: int) -> list[int]:
    """A process and all that descend from it."""
    found = [process]
    for children in Path(f"/proc/{process}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in children.read_text().split():
                found += family(int(child))
    return found


def peak_mb(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith("VmHWM")).split()[1]) / 1024


if __name__ == "__main__":
    main()
