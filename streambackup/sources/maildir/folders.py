"""Which folder is which: what was remembered and what is there now, compared. Pure.

A folder keeps its item while its name stays, or while its directory does under another name. One
that exists only in the names of those below it is an item too, without a directory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from itertools import count
from typing import Any

import msgspec

from streambackup.domain.item import FolderState
from streambackup.sources.maildir.identity import Directory
from streambackup.sources.maildir.names import ROOT, folder_name, parent_of


class Folder(msgspec.Struct, frozen=True, array_like=True):
    """A folder as it is remembered: ``name`` is its directory's, relative to the tree."""

    item: str
    name: bytes
    parent: str | None
    inode: int | None
    birth_ns: int

    @property
    def identity(self) -> tuple[int, int] | None:
        return None if self.inode is None else (self.inode, self.birth_ns)

    def state(self) -> dict[str, Any]:
        use = "inbox" if self.name == ROOT else None
        state = FolderState(name=folder_name(self.name), parent=self.parent, use=use)
        assert state.name, "A folder without a name could not be restored."
        return {key: value for key, value in msgspec.structs.asdict(state).items() if value}


def directory_of(root: bytes, folder: Folder) -> bytes:
    """The directory of *folder* in the tree at *root*."""
    return root if folder.name == ROOT else root + b"/" + folder.name


class FolderPlan(msgspec.Struct, frozen=True):
    """All folders there are now by name, those to be said anew (a parent before what is in it), and
    those that are gone (a parent after what was in it).
    """

    folders: dict[bytes, Folder]
    changed: list[Folder]
    gone: list[Folder]


def plan_folders(remembered: Iterable[Folder], seen: Mapping[bytes, Directory]) -> FolderPlan:
    """What has become of the folders *remembered*, where there are the directories *seen*.

    Two that are remembered may have the same name, where one is gone and that was not said yet.
    """
    known = {folder.item: folder for folder in remembered}
    items = _match(known, seen)
    taken = set(known)
    folders: dict[bytes, Folder] = {}
    for name in sorted(items, key=_depth):
        here = seen.get(name)
        item = items[name] or _new_item(name, here, taken)
        taken.add(item)
        above = parent_of(name)
        parent = folders[above].item if above else None
        inode, birth_ns = here.identity if here else (None, 0)
        folders[name] = Folder(item, name, parent, inode, birth_ns)
    left = {folder.item for folder in folders.values()}
    gone = [folder for folder in known.values() if folder.item not in left]
    return FolderPlan(
        folders,
        [folder for folder in folders.values() if known.get(folder.item) != folder],
        sorted(gone, key=lambda folder: _depth(folder.name), reverse=True),
    )


def _match(known: Mapping[str, Folder], seen: Mapping[bytes, Directory]) -> dict[bytes, str | None]:
    """The item of each directory seen and of the folders above them, None for a new one: first the
    same directory's, then one that had the same name.
    """
    names = {here.identity: name for name, here in seen.items()}
    items: dict[bytes, str | None] = {}
    for folder in known.values():
        if folder.identity is not None and folder.identity in names:
            items.setdefault(names[folder.identity], folder.item)
    taken = set(items.values())
    free = {folder.name: folder.item for folder in known.values() if folder.item not in taken}
    for name in seen:
        items.setdefault(name, free.get(name))
        while (above := parent_of(name)) is not None:
            if above not in seen:
                items.setdefault(above, free.get(above))
            name = above
    return items


def _depth(name: bytes) -> tuple[int, bytes]:
    return name.count(b"."), name


def _new_item(name: bytes, here: Directory | None, taken: set[str]) -> str:
    """Made of what the directory is, so that it is the same should the memory ever be lost."""
    seed = f"{here.inode}:{here.birth_ns}".encode() if here else name
    for number in count():
        digest = hashlib.blake2b(seed, digest_size=6, salt=number.to_bytes(2, "big"))
        if (item := f"f{digest.hexdigest()}") not in taken:
            return item
    raise AssertionError("Numbers do not end.")
