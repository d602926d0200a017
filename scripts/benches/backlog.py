"""Peak memory while a backlog of 10,000,000 transactions of 100,000 accounts is read, against one
of 100,000.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from pathlib import Path

from benches._harness import Bench, Pair, say
from benches._load import publish, transactions
from benches._service import Store, own_kafka, scratch
from benches.memory import PARTITIONS, peak

ROWS = ["F023"]
BENCH = Bench("backlog", unit="MB", at_most=1.10)


def main() -> None:
    parser = BENCH.parser(__doc__, pairs=1)
    parser.add_argument("--records", type=int, default=10_000_000)
    parser.add_argument("--few", type=int, default=100_000, help="records of the small backlog")
    parser.add_argument("--accounts", type=int, default=100_000)
    options = parser.parse_args()
    with scratch("backlog") as directory, own_kafka(directory) as address:
        store = Store.on_kafka(directory, address, PARTITIONS)
        store.keep_fresh()
        load = transactions(options.records, options.accounts, store.generation)
        asyncio.run(publish(address, itertools.islice(load, options.few), PARTITIONS))
        few = [peak(store, options.few) for _ in range(options.pairs)]
        say(f"publishing {options.records:,} transactions of {options.accounts:,} accounts")
        began_s = time.monotonic()
        asyncio.run(publish(address, load, PARTITIONS))
        os.sync()
        published_s = time.monotonic() - began_s
        began_s = time.monotonic()
        many = [peak(store, options.records) for _ in range(options.pairs)]
        recorded_s = (time.monotonic() - began_s) / options.pairs
        also = {
            "records": options.records,
            "few": options.few,
            "accounts": options.accounts,
            "service_mb": [round(many[-1].service_mb, 1), round(few[-1].service_mb, 1)],
            "published_s": round(published_s),
            "recorded_s": round(recorded_s),
            "store_mb": round(disk_mb(store.path)),
            "topics_mb": round(disk_mb(directory / "kafka" / "data")),
        }
    pairs = [
        Pair(ours=big.all_mb, rival=small.all_mb) for big, small in zip(many, few, strict=True)
    ]
    BENCH.finish(pairs, as_json=options.json, also=also)


def disk_mb(folder: Path) -> float:
    """What the files below *folder* occupy."""
    return sum(path.stat().st_blocks for path in folder.rglob("*") if path.is_file()) * 512 / 1e6


if __name__ == "__main__":
    main()
