"""Records/s of a replay until all is filed, against the service of `metadata` on the same topic."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benches._harness import Bench, alternate, say
from benches._load import publish, transactions
from benches._service import Store, own_kafka, scratch, wait_for_end
from benches.metadata import PARTITIONS, Ours, newest_mark

BENCH = Bench("rebuild", unit="records/s", at_least=0.8)
INTERRUPTED = 130


def main() -> None:
    parser = BENCH.parser(__doc__)
    parser.add_argument("--records", type=int, default=2_000_000)
    parser.add_argument("--accounts", type=int, default=2_000)
    options = parser.parse_args()
    with scratch("rebuild") as directory, own_kafka(directory) as address:
        store = Store.on_kafka(directory, address, PARTITIONS)
        store.keep_fresh()
        say(f"publishing {options.records:,} transactions of {options.accounts:,} accounts")
        load = transactions(options.records, options.accounts, store.generation)
        asyncio.run(publish(address, load, PARTITIONS))
        os.sync()
        replay = Replay(store, directory, options.records)
        service = Ours(store, options.records)
        pairs = alternate(replay, service, pairs=options.pairs)
    also = {
        "records": options.records,
        "cpu_us_per_record": round(statistics.median(replay.cpu_us), 2),
        "rival_cpu_us_per_record": round(statistics.median(service.cpu_us), 2),
    }
    BENCH.finish(pairs, as_json=options.json, also=also)


class Replay:
    """``streambackup replay`` into a new path, from its first look at the topic to its last mark.

    It is ended before it reads the store for its report, which nobody who records does.
    """

    def __init__(self, store: Store, directory: Path, records: int) -> None:
        self._store = store
        self._directory = directory
        self._records = records
        self._made = 0
        self.cpu_us: list[float] = []

    def __call__(self) -> float:
        self._made += 1
        path = self._directory / f"replay-{self._made}"
        command = self._store.arguments("replay", "--to", str(path), "--json")
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        began = self._wait_for(process, "replaying")
        self._wait_for(process, "surveying")
        process.terminate()
        cpu_s, code = wait_for_end(process)
        if code not in {0, INTERRUPTED}:
            sys.exit(f"the replay ended with {code}")
        self.cpu_us.append(cpu_s / self._records * 1e6)
        return self._records / (newest_mark(path) - began)

    @staticmethod
    def _wait_for(process: subprocess.Popen[bytes], doing: str) -> float:
        """When it said that it is *doing* that, in seconds since 1970."""
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line).get("doing") == doing:
                return time.time()
        sys.exit(f"the replay never came to {doing}")


if __name__ == "__main__":
    main()
