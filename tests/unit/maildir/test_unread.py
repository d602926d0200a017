"""Messages that cannot be read for a while, without a word of the kernel on when that ends."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from streambackup.sources.maildir.opened import At
from streambackup.sources.maildir.reading import Reading, read_message
from streambackup.sources.maildir.tree import Batches, Tree
from streambackup.sources.maildir.watcher import Watcher
from tests.support.manual_clock import ManualClock


class DictMemory:
    """What one account's source remembers."""

    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}

    def get(self, _account: str, keys: Sequence[str]) -> dict[str, bytes]:
        return {key: self._values[key] for key in keys if key in self._values}

    def scan(self, _account: str, prefix: str) -> Iterator[tuple[str, bytes]]:
        yield from sorted(item for item in self._values.items() if item[0].startswith(prefix))

    def record(self, batches: Batches) -> list[str | None]:
        """Draw *batches* as an outbox does; gives the items of the messages in them."""
        items: list[str | None] = []
        for batch in batches:
            for observation in batch:
                for key, value in observation.remember.items():
                    self._values.pop(key, None)
                    if value is not None:
                        self._values[key] = value
                if observation.type == "message":
                    items.append(observation.item)
        return items


class FailingDisk:
    """Reads messages; each of ``errors`` keeps it from one of them."""

    def __init__(self) -> None:
        self.errors: list[int] = []

    def read_all(self, files: Sequence[At]) -> list[Reading | OSError | None]:
        return [
            OSError(code, os.strerror(code)) if (code := self._next_error()) else read_message(at)
            for at in files
        ]

    def _next_error(self) -> int:
        return self.errors.pop(0) if self.errors else 0


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE, errno.EMFILE])
@pytest.mark.parametrize("listed", [True, False])
def test_a_message_is_read_as_soon_as_it_can_be(tmp_path: Path, code: int, listed: bool) -> None:
    for part in ("cur", "new", "tmp"):
        (tmp_path / part).mkdir()
    disk, memory, complaints = FailingDisk(), DictMemory(), dict[bytes, str | None]()
    with contextlib.closing(Watcher()) as watcher:
        tree = Tree(
            "ann",
            os.fsencode(tmp_path),
            watcher=watcher,
            clock=ManualClock(),
            read_all=disk.read_all,
            complain=complaints.__setitem__,
        )
        if not listed:
            memory.record(tree.list_all(memory))
        message = tmp_path / "cur" / "1.host:2,"
        message.write_bytes(b"Subject: hello\n\n")
        disk.errors = [code, code]
        events, _ = watcher.take()
        batches = tree.list_all(memory) if listed else tree.changes(memory, events)

        assert memory.record(batches) == []
        assert memory.record(tree.changes(memory, [])) == []
        assert (tree.looks_again, complaints[os.fsencode(message)]) == (True, os.strerror(code))
        assert len(memory.record(tree.changes(memory, []))) == 1
        assert (tree.looks_again, complaints[os.fsencode(message)]) == (False, None)
