"""The folders of one tree as they are on disk, watched and compared with what is remembered."""

from __future__ import annotations

import os
from collections.abc import Callable

from streambackup.domain.entry import ItemType
from streambackup.runtime.clock import Clock
from streambackup.sources.maildir.away import away_if_unreadable
from streambackup.sources.maildir.folders import Folder, directory_of, plan_folders
from streambackup.sources.maildir.identity import Directory, directory_at
from streambackup.sources.maildir.names import ROOT, is_folder_name
from streambackup.sources.maildir.remembered import (
    FOLDERS,
    decode_folder,
    encode,
    folder_key,
    keywords_key,
)
from streambackup.sources.maildir.watcher import Place, Watcher
from streambackup.sources.port import Memory, Observation

Complain = Callable[[bytes, str | None], None]
"""Says of a path why it is not backed up, or with None that this is over."""

PARTS = (b"cur", b"new")
"""Where a folder's messages are; what is in ``tmp`` has not arrived."""


class FolderWatch:
    """The folders of *account* below *root*: ``by_name`` of their directories and ``by_item``."""

    def __init__(
        self, account: str, root: bytes, *, watcher: Watcher, clock: Clock, complain: Complain
    ) -> None:
        self.by_name: dict[bytes, Folder] = {}
        self.by_item: dict[str, Folder] = {}
        self._account = account
        self._root = root
        self._watcher = watcher
        self._clock = clock
        self._complain = complain

    def compare(self, memory: Memory) -> tuple[list[Observation], list[Folder], list[Folder]]:
        """What is new of folders, those that are gone, and those to be listed: not watched before,
        or left without a directory. All others are watched from here on.
        """
        remembered = [decode_folder(data) for _, data in memory.scan(self._account, FOLDERS)]
        known = {folder.item for folder in remembered}
        seen = self._directories()
        plan = plan_folders(remembered, seen)
        self.by_name = plan.folders
        self.by_item = {folder.item: folder for folder in plan.folders.values()}
        for folder in plan.gone:
            self._watcher.forget(self._account, folder.item)
        real = [folder for folder in plan.folders.values() if folder.inode is not None]
        fresh = [folder for folder in real if self._watch(folder)]
        fresh += [folder for folder in plan.changed if folder.inode is None]
        observed = [
            self._put(folder, seen.get(folder.name), new=folder.item not in known)
            for folder in plan.changed
        ]
        return observed, plan.gone, fresh

    def removal(self, folder: Folder) -> Observation:
        """The delete of *folder* itself."""
        return Observation(
            account=self._account,
            time_ms=self._clock.now_ms(),
            operation="folder-delete",
            item=folder.item,
            remember={folder_key(folder.item): None, keywords_key(folder.item): None},
        )

    def _directories(self) -> dict[bytes, Directory]:
        """The folders' directories, each watched for the coming of its ``cur``."""
        seen = {}
        with away_if_unreadable(self._root):
            for name in self._names():
                path = self._root + b"/" + name
                self._watch_one(path, Place(self._account, "", name))
                directory = directory_at(path)
                if directory and self._is_folder(path):
                    seen[name] = directory
        return seen

    def _names(self) -> list[bytes]:
        names = [ROOT]
        with os.scandir(self._root) as entries:
            for entry in entries:
                if is_folder_name(entry.name) and entry.is_symlink():
                    self._complain(entry.path, "symbolic links are not followed")
                elif is_folder_name(entry.name):
                    names.append(entry.name)
        return names

    def _is_folder(self, path: bytes) -> bool:
        """True also where it cannot be told: then nothing in it is taken for deleted."""
        try:
            return directory_at(path + b"/cur") is not None
        except OSError as error:
            self._complain(path, str(error.strerror))
            return True

    def _watch(self, folder: Folder) -> bool:
        """Watch *folder*; True where messages may have come before it was."""
        path = directory_of(self._root, folder)
        fresh = [
            self._watch_one(path + b"/" + part, Place(self._account, folder.item, part))
            for part in PARTS
        ]
        return any(fresh)

    def _watch_one(self, path: bytes, place: Place) -> bool:
        try:
            return self._watcher.watch(path, place)
        except OSError as error:
            self._complain(path, str(error.strerror))
            return False

    def _put(self, folder: Folder, here: Directory | None, *, new: bool) -> Observation:
        now_ms = self._clock.now_ms()
        born_ms = here.birth_ns // 1_000_000 if here and new else 0
        time_ms = born_ms or (here.changed_ms if here else now_ms)
        return Observation(
            account=self._account,
            time_ms=min(max(0, time_ms), now_ms),
            operation="put",
            item=folder.item,
            type=ItemType.FOLDER,
            state=folder.state(),
            remember={folder_key(folder.item): encode(folder)},
        )
