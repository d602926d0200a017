"""Logs only grow, each by the hand of one writer, while a service journals and files."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from streambackup.bus.port import Outgoing
from streambackup.events.codec import encode_event
from streambackup.testing.events import TIME_MS, delete, put
from tests.support.backup import Backup

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(180)]

ACCOUNTS = [f"user{number}" for number in range(8)]
ITEMS = [f"item{number}" for number in range(5)]
LOGS = ("accounts/*/*/*.jsonl", "journal/*/*/*/*.jsonl", "journal/*/*/*/*.journal")


def random_events(seed: int, count: int) -> Iterator[Outgoing]:
    """Changes and deletions of items of all accounts, sometimes within a moment."""
    random = Random(seed)
    sequences = dict.fromkeys(ACCOUNTS, 0)
    time_ms = TIME_MS
    for number in range(count):
        account, item = random.choice(ACCOUNTS), random.choice(ITEMS)
        sequences[account] += 1
        time_ms += random.choice((1, 20, 150))
        words: dict[str, Any] = {"account": account, "source": f"seed{seed}", "time_ms": time_ms}
        if random.random() < 0.1:
            event = encode_event(delete(item, sequences[account], **words))
        else:
            event = encode_event(put(item, sequences[account], folder="in", n=number, **words))
        yield Outgoing("mailbox.transactions", account.encode(), event)


class Watch:
    """Looks at every log of a store again and again: none ever loses or changes a byte."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._seen: dict[Path, tuple[int, bytes]] = {}
        self.grown: dict[Path, set[Path]] = defaultdict(set)
        """Account log files that grew since the last ``forget_growth``, by account directory."""

    def look(self) -> None:
        found = {path: path.read_bytes() for glob in LOGS for path in self._root.glob(glob)}
        assert self._seen.keys() <= found.keys()
        for path, data in found.items():
            size, digest = self._seen.get(path, (0, hashlib.sha256().digest()))
            assert hashlib.sha256(data[:size]).digest() == digest, path
            self._seen[path] = len(data), hashlib.sha256(data).digest()
            if path.parts[-4] == "accounts" and len(data) > size:
                self.grown[path.parent].add(path)

    def grown_logs(self) -> int:
        """Look, and count the accounts whose logs grew."""
        self.look()
        return len(self.grown)

    def forget_growth(self) -> set[Path]:
        """What grew since the last call."""
        grown = {path for paths in self.grown.values() for path in paths}
        assert all(len(paths) == 1 for paths in self.grown.values())
        self.grown.clear()
        return grown


@pytest.mark.row("F008")
@pytest.mark.row("M3", part="append-only")
def test_logs_only_grow_and_each_accounts_by_one_writer(tmp_path: Path) -> None:
    """Looked at after each of 1000 random events, and over a killed and a second service."""
    backup = Backup(tmp_path / "backup").init()
    watch = Watch(backup.path)
    written: list[set[Path]] = []
    for seed in (1, 2):
        with backup.service() as running:
            backup.publish_raw(random_events(seed, 500), each=watch.look)
            running.wait_until_caught_up()
            if seed == 1:
                running.wait_until(lambda: watch.grown_logs() == len(ACCOUNTS), "all was filed")
                running.kill()
        watch.look()
        written.append(watch.forget_growth())
        assert len(written[-1]) == len(ACCOUNTS)
    assert written[0].isdisjoint(written[1])
    reader = backup.reader()
    states = [
        s for account in ACCOUNTS for i in reader.history(account).items.values() for s in i.states
    ]
    assert sum(len(state.transactions) for state in states) == 1000
