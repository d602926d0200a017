"""Counts what an arrival, a flag and a deletion cost in a mailbox of some size, as one JSON line.

A process of its own: an audit hook stays for ever.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from streambackup.sources.port import Memory
from tests.corpus.maildirs import make_folder
from tests.support.maildir import ACCOUNT, source_of
from tests.support.watching import Watching, watching

counted: Counter[str] = Counter()


class CountingMemory:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def get(self, account: str, keys: Sequence[str]) -> dict[str, bytes]:
        counted["memory_keys"] += len(keys)
        return self._memory.get(account, keys)

    def scan(self, account: str, prefix: str) -> Iterator[tuple[str, bytes]]:
        counted["memory_scans"] += 1
        return self._memory.scan(account, prefix)


def hear(event: str, _: tuple[object, ...]) -> None:
    counted["files_opened"] += event == "open"
    counted["directories_listed"] += event in ("os.scandir", "os.listdir")


def held(seen: Watching) -> list[tuple[str, ...]]:
    """The flags of every message."""
    return [flags for _, flags, _ in seen.view.messages(ACCOUNT).values()]


async def count_costs(directory: Path, size: int) -> None:
    root = directory / f"Maildir{size}"
    make_folder(root, "INBOX")
    for number in range(size):
        (root / "new" / f"{number}.host").write_bytes(b"Subject: %d\n\n" % number)
    state = directory / f"state{size}"
    async with watching(source_of(root), state, memory=CountingMemory) as seen:
        await seen.until(lambda: len(held(seen)) == size)
        (root / "new" / "0.host").rename(root / "cur" / "0.host:2,S")
        await seen.until(lambda: ("seen",) in held(seen))
        counted.clear()
        os.link(root / "cur" / "0.host:2,S", root / "new" / "arrived.host")
        await seen.until(lambda: len(held(seen)) == size + 1)
        (root / "new" / "1.host").rename(root / "cur" / "1.host:2,F")
        await seen.until(lambda: ("flagged",) in held(seen))
        (root / "new" / "2.host").unlink()
        await seen.until(lambda: len(held(seen)) == size)
        sys.stdout.write(json.dumps({name: counted[name] for name in NAMES}))


NAMES = ("memory_keys", "memory_scans", "files_opened", "directories_listed")

if __name__ == "__main__":
    sys.addaudithook(hear)
    asyncio.run(count_costs(Path(sys.argv[1]), int(sys.argv[2])))
