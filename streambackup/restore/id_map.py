"""The id map: what was restored from where, under which name. It makes a restore repeatable.

A file of JSON lines in the directory restored into, one per source store, shared by all restores
from that store into that place. It is only ever appended to, under a file lock, in this order:

1. Take the lock, and read what others appended.
2. Put a batch of items, and sync the target: from here on they are there.
3. Append one line for each, and sync the file. Release the lock.

A restore killed between 2 and 3 leaves items that no line names. They cannot become doubles: a
target derives names from the item's key, and a repeat that finds the name with the same content
takes it as its own and appends the line. One killed within 2 leaves nothing that shows. A last line
that a crash cut short names nothing; the next line starts on a line of its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from streambackup.errors import StoreError, TargetError
from streambackup.events.codec import UNDECODABLE
from streambackup.runtime.disk import Disk
from streambackup.targets.port import ID_MAP_PREFIX
from streambackup.targets.staging import owner_to_keep


class IdMapLine(msgspec.Struct, frozen=True, kw_only=True):
    """Item *item* of *account*, as after *transaction*, is *name* in the account *into*."""

    account: str
    item: str
    transaction: str
    into: str
    name: str
    key: str


def id_map_path(directory: Path, store: str) -> Path:
    """The id map of what *store* had restored into *directory*."""
    return directory / f"{ID_MAP_PREFIX}{store}.jsonl"


class IdMap:
    """The part of an id map that concerns one account restored *into* one other, or itself.

    Raises:
        TargetError: from every method, where the file cannot be read or written.
    """

    def __init__(self, path: Path, *, account: str, into: str, disk: Disk | None = None) -> None:
        self._path = path
        self._account = account
        self._into = into
        self._disk = disk or Disk()
        self._names: dict[str, str] = {}
        self._read_up_to = 0

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other restores into this place waiting, and know what they have done so far."""
        with _id_map_errors(self._path):
            self._create()
            descriptor = os.open(self._path, os.O_RDONLY)
        try:
            with _id_map_errors(self._path):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                self._refresh()
            yield
        finally:
            os.close(descriptor)

    def name_of(self, key: str) -> str | None:
        """The name that an item was last restored under, as of the latest ``locked``."""
        return self._names.get(key)

    def append(self, lines: Iterable[IdMapLine]) -> None:
        """Durable on return. Call it within ``locked``."""
        added = list(lines)
        if not added:
            return
        data = b"".join(msgspec.json.encode(line) + b"\n" for line in added)
        with _id_map_errors(self._path):
            with contextlib.closing(self._disk.append_lines(self._path)) as file:
                file.write(data)
            self._disk.sync_file(self._path)
        self._names.update((line.key, line.name) for line in added)

    def _create(self) -> None:
        if not self._path.exists():
            self._disk.ensure_directories(self._path.parent)
            owner = owner_to_keep(self._path.parent)
            self._disk.append(self._path).close()
            if owner is not None:
                os.chown(self._path, *owner)
            self._disk.sync_directory(self._path.parent)

    def _refresh(self) -> None:
        with self._path.open("rb") as file:
            file.seek(self._read_up_to)
            for line in file:
                if line.endswith(b"\n"):
                    self._read_up_to += len(line)
                    self._learn(line)

    def _learn(self, line: bytes) -> None:
        with contextlib.suppress(*UNDECODABLE):
            told = msgspec.json.decode(line, type=IdMapLine)
            if (told.account, told.into) == (self._account, self._into):
                self._names[told.key] = told.name


@contextlib.contextmanager
def _id_map_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, StoreError) as error:
        reason = error.strerror if isinstance(error, OSError) else error.message
        raise TargetError(
            f"the id map {path} cannot be used: {reason}",
            hint="Restore into a directory that can be written and has space.",
        ) from error
