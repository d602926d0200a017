"""Which folder is which: what was remembered and what is there now, compared. Pure.

A folder keeps its item while its name stays, or while its directory does under another name. One
that exists only in the names of those below it is an item too, without a directory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
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


def plan_folders(remembered: Mapping[bytes, Folder], seen: Mapping[bytes, Directory]) -> FolderPlan:
    """What has become of the folders *remembered*, where there are the directories *seen*."""
    items = _match(remembered, seen)
    for name in list(items):
        above = parent_of(name)
        while above and above not in items:
            known = remembered.get(above)
            is_free = known is not None and known.item not in items.values()
            items[above] = known.item if known and is_free else None
            above = parent_of(above)
    taken = {folder.item for folder in remembered.values()}
    folders: dict[bytes, Folder] = {}
    for name in sorted(items, key=_depth):
        here = seen.get(name)
        item = items[name] or _new_item(name, here, taken)
        taken.add(item)
        above = parent_of(name)
        parent = folders[above].item if above else None
        inode, birth_ns = (here.inode, here.birth_ns) if here else (None, 0)
        folders[name] = Folder(item, name, parent, inode, birth_ns)
    left = {folder.item for folder in folders.values()}
    return FolderPlan(
        folders,
        [folder for folder in folders.values() if remembered.get(folder.name) != folder],
        [
            remembered[name]
            for name in sorted(remembered, key=_depth, reverse=True)
            if remembered[name].item not in left
        ],
    )


def _match(
    remembered: Mapping[bytes, Folder], seen: Mapping[bytes, Directory]
) -> dict[bytes, str | None]:
    """The item of each directory seen, None for a new one: the same directory, then the
    same name.
    """
    names = {here.identity: name for name, here in seen.items()}
    items: dict[str, bytes] = {}
    for folder in remembered.values():
        if folder.identity in names:
            items.setdefault(folder.item, names.pop(folder.identity))
    taken = set(items.values())
    for folder in remembered.values():
        if folder.item not in items and folder.name in seen and folder.name not in taken:
            items[folder.item] = folder.name
            taken.add(folder.name)
    found = {name: item for item, name in items.items()}
    return {name: found.get(name) for name in seen}


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
