"""A plain tree of files as a target: ``<root>/<account>/<folder>/<folder>/<item>``.

An item with content becomes that content, byte for byte: a message ``.eml``, a contact or a contact
group ``.vcf``, an appointment ``.ics``, a document a file with its own extension. What has no
content becomes a ``.json`` with its ids and full state; so do accounts, folders (inside their
directory), tasks, and documents beside their content.

A name ends with digits of the item's key, so that a repeat comes upon what a killed restore wrote.
Files are written into ``.streambackup-restoring`` in the root and renamed from there; between two
restores that directory holds nothing that counts.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from streambackup.domain.entry import ItemType
from streambackup.errors import TargetError
from streambackup.events.codec import UNDECODABLE
from streambackup.runtime.disk import DIRECTORY_MODE, Disk
from streambackup.targets.fields import left_out
from streambackup.targets.names import (
    item_name,
    safe_name,
    same_on_some_system,
    stays_inside,
    twin_name,
)
from streambackup.targets.port import (
    Content,
    ContentError,
    FolderPath,
    Placed,
    ReadBack,
    RestoredItem,
)
from streambackup.targets.staging import (
    Staging,
    digest_of_file,
    holds_exactly,
    owner_to_keep,
    target_errors,
    time_of,
)

_FOLDER_BYTES_MAX = 1500
"""A deeper folder becomes one directory, so that no path is too long for the system."""
_CONTENT_SAYS_ALL = {
    ItemType.MESSAGE: ".eml",
    ItemType.CONTACT: ".vcf",
    ItemType.CONTACT_GROUP: ".vcf",
    ItemType.APPOINTMENT: ".ics",
}
_EXTENSIONS = {**_CONTENT_SAYS_ALL, ItemType.DOCUMENT: ""}
_OTHER_CONTENT = ".content"
_TIME_FIELDS = {ItemType.MESSAGE: "received_ms", ItemType.DOCUMENT: "modified_ms"}
_STATE = ".json"


class StateFile(msgspec.Struct, kw_only=True):
    """What a ``.json`` of the tree holds: where the item comes from, and its state as it was."""

    account: str
    item: str
    type: str
    transaction: str
    state: dict[str, Any]


class FilesTarget:
    """Restores into the directory of *account* below *root*; accounts share a root."""

    def __init__(self, root: Path, account: str, *, disk: Disk | None = None) -> None:
        self._root = root.absolute()
        self._account = account
        self._staging = Staging(disk or Disk(), self._root)
        self._aside = self._root / ".streambackup-restoring"
        self._directories: dict[tuple[str, ...], Path] = {}
        self._owner: tuple[int, int] | None = None

    @property
    def place(self) -> str:
        return str(self._root / safe_name(self._account))

    @property
    def account(self) -> str:
        return self._account

    def ensure_folders(self, folders: Sequence[FolderPath]) -> int:
        with target_errors(self._root):
            made = sum(self._directory(folder)[1] for folder in folders)
            self._staging.publish()
            return made

    def holds(self, name: str) -> bool:
        with target_errors(self._root):
            return stays_inside(name) and (self._root / name).is_file()

    def put(self, item: RestoredItem) -> Placed:
        with target_errors(self._root):
            directory, _ = self._directory(item.folder)
            for number in itertools.count(1):
                files = _files_of(item, number)
                paths = {directory / name: data for name, data in files.items()}
                if all(holds_exactly(p, d) or not os.path.lexists(p) for p, d in paths.items()):
                    try:
                        return self._stage(item, paths)
                    except ContentError:
                        for path in paths:
                            self._staging.drop(path)
                        raise
        raise AssertionError("itertools.count ends")

    def sync(self) -> None:
        with target_errors(self._root):
            self._staging.publish()
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(self._aside)

    def read(self, name: str) -> ReadBack:
        if not self.holds(name):
            raise TargetError(f"{name} is not in {self._root}")
        path = self._root / name
        beside = path.with_name(path.name + _STATE)
        with target_errors(path):
            if beside.is_file():
                return ReadBack(digest_of_file(path), _state_in(beside))
            if path.suffix == _STATE:
                return ReadBack(None, _state_in(path))
            kept = {"received_ms": time_of(path)} if path.suffix == ".eml" else {}
            return ReadBack(digest_of_file(path), kept)

    def _stage(self, item: RestoredItem, paths: dict[Path, bytes | Content]) -> Placed:
        """Write aside what is not there yet; the last of *paths* is the one that names the item."""
        time_ms = getattr(item.state, _TIME_FIELDS.get(item.type, ""), None)
        timed = time_ms is not None
        for number, (path, data) in enumerate(paths.items()):
            if not os.path.lexists(path):
                self._aside.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
                aside = self._aside / f"{item.key}-{number}"
                self._staging.add(aside, path, data, owner=self._owner)
                timed = time_ms is not None and self._staging.set_time(path, time_ms)
        name = str(path.relative_to(self._root))
        if any(path.suffix == _STATE for path in paths):
            return Placed(name, kept=item.raw_state)
        kept = {_TIME_FIELDS[item.type]: time_ms} if timed else {}
        return Placed(name, kept=kept, left_out=left_out(item, kept))

    def _directory(self, folder: FolderPath) -> tuple[Path, int]:
        """The directory for *folder*, and how many were made for it."""
        names = (self._account, *folder.names)
        if sum(len(safe_name(name).encode()) for name in names) > _FOLDER_BYTES_MAX:
            names = (self._account, str(folder))
        if not self._directories:
            self._staging.make_directory(self._root)
            self._owner = owner_to_keep(self._root)
            self._directories[()] = self._root
        made = 0
        for depth in range(1, len(names) + 1):
            if names[:depth] not in self._directories:
                path, new = self._child(self._directories[names[: depth - 1]], names[depth - 1])
                self._directories[names[:depth]] = path
                made += new
        return self._directories[names], made

    def _child(self, parent: Path, name: str) -> tuple[Path, bool]:
        """The directory for *name* in *parent*, made if absent.

        What differs from a neighbour in case alone, or where a file stands in the way, gets its
        twin name: the tree can then be copied to a system that does not tell them apart.
        """
        twin, plain = parent / twin_name(name), parent / safe_name(name)
        neighbours = set(os.listdir(parent))
        if twin.name in neighbours:
            return twin, False
        if plain.name in neighbours and plain.is_dir() and not plain.is_symlink():
            return plain, False
        alike = same_on_some_system(plain.name)
        path = twin if any(same_on_some_system(n) == alike for n in neighbours) else plain
        self._staging.make_directory(path, owner=self._owner)
        return path, True


def _files_of(item: RestoredItem, number: int) -> dict[str, bytes | Content]:
    """Names and bytes of the files that *item* becomes, its content last."""
    extension = _EXTENSIONS.get(item.type, _OTHER_CONTENT) if item.content is not None else ""
    files: dict[str, bytes | Content] = {}
    if item.content is None or item.type not in _CONTENT_SAYS_ALL:
        told = StateFile(
            account=item.account,
            item=item.item,
            type=item.type,
            transaction=item.transaction,
            state=item.raw_state,
        )
        state = msgspec.json.format(msgspec.json.encode(told))
        files[item_name(item, extension + _STATE, number)] = state + b"\n"
    if item.content is not None:
        files[item_name(item, extension, number)] = item.content
    return files


def _state_in(path: Path) -> dict[str, Any]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=StateFile).state
    except UNDECODABLE as error:
        raise TargetError(f"{path} is not what was written there: {error}") from error
