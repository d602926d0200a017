"""A Maildir++ as a target, also one that a mail server or our own source is watching.

Messages go through ``tmp`` into ``cur`` with their flags in the name and the time of their arrival
as the file's. A name is made of the item's key, so that a repeat finds what it restored, moved or
marked by a client or not. Folders are the directories ``.A.B``, named as Dovecot names them; the
one whose use is ``inbox``, or that is called so, is the root itself.

What is no mail is refused: other kinds of items, and an account that is more than its address.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from streambackup.domain.item import AccountState, FolderState, MessageState
from streambackup.domain.mail_flags import MAILDIR_LETTERS
from streambackup.domain.modified_utf7 import EMPTY_LEVEL, encode_modified_utf7
from streambackup.errors import ItemRefusedError, TargetError
from streambackup.runtime.disk import Disk
from streambackup.targets.fields import left_out
from streambackup.targets.names import stays_inside
from streambackup.targets.port import ID_MAP_PREFIX, FolderPath, Placed, ReadBack, RestoredItem
from streambackup.targets.staging import (
    Staging,
    digest_of_file,
    holds_exactly,
    owner_to_keep,
    target_errors,
    time_of,
)

_INBOX = "inbox"
_SUBDIRECTORIES = ("tmp", "new", "cur")
_FOLDER_MARK = "maildirfolder"
_OURS = ".streambackup"
_FOLDER_BYTES_MAX = 200
_LEAF_CHARACTERS_MAX = 20
_TIME_MS_MAX = 2**53
_NOT_IN_FOLDER_NAMES = re.compile("^~|[./\x00-\x1f\x7f\ud800-\udfff]")
_WORDS = {letter: word for word, letter in MAILDIR_LETTERS.items()}


def folder_directory(folder: FolderPath) -> str:
    """The directory of *folder* below a Maildir's root; empty for the inbox and for the top.

    A name with characters that no Maildir folder can have is written with ``_`` in their place and
    ends with a hash, so that different folders stay apart.
    """
    if not folder.names or _is_inbox(folder):
        return ""
    directory = "." + ".".join(map(_level, folder.names, itertools.count()))
    if len(directory) <= _FOLDER_BYTES_MAX:
        return directory
    leaf = _folder_name(folder.names[-1][:_LEAF_CHARACTERS_MAX])
    return f".{leaf}-{_hash(str(folder))}"


class MaildirTarget:
    """Restores into the Maildir++ at *root*, made if absent, as *account*'s."""

    def __init__(self, root: Path, account: str, *, disk: Disk | None = None) -> None:
        self._root = root.absolute()
        self._account = account
        self._disk = disk or Disk()
        self._staging = Staging(self._disk, self._root)
        self._staged: dict[str, Path] = {}
        self._ensured: set[str] = set()
        self._messages: dict[str, Path] | None = None
        self._others_may_have_written = False
        self._owner: tuple[int, int] | None = None

    @property
    def place(self) -> str:
        return str(self._root)

    @property
    def account(self) -> str:
        return self._account

    def ensure_folders(self, folders: Sequence[FolderPath]) -> int:
        with target_errors(self._root):
            made = self._ensure("") + sum(self._ensure(folder_directory(f)) for f in folders)
            self._staging.publish()
            return made

    def holds(self, name: str) -> bool:
        if not stays_inside(name):
            return False
        if name.endswith("/"):
            return (self._root / name / "cur").is_dir()
        with target_errors(self._root):
            if self._find(name) is None and self._others_may_have_written:
                self._messages = None
            return self._find(name) is not None

    def put(self, item: RestoredItem) -> Placed:
        directory = folder_directory(item.folder)
        with target_errors(self._root):
            self._ensure("")
            if isinstance(item.state, MessageState):
                self._ensure(directory)
                return self._put_message(item, item.state, self._root / directory)
            if isinstance(item.state, FolderState) and item.content is None:
                self._ensure(directory)
                return Placed(f"{directory or '.'}/", left_out=_lost_of_folder(item, directory))
            if isinstance(item.state, AccountState) and not left_out(item, {"address"}):
                return Placed("./")
        raise ItemRefusedError(f"a Maildir cannot hold what there is of this {item.type}")

    def sync(self) -> None:
        with target_errors(self._root):
            self._staging.publish()
            if self._staged:
                self._index().update(self._staged)
                self._staged.clear()
            self._others_may_have_written = True

    def read(self, name: str) -> ReadBack:
        if not self.holds(name):
            raise TargetError(f"{name} is not in {self._root}")
        with target_errors(self._root):
            path = self._find(name)
            if path is None or name.endswith("/"):
                return ReadBack(None, {})
            kept = {"flags": _flags_in(path.name), "received_ms": time_of(path)}
            return ReadBack(digest_of_file(path), kept)

    def _put_message(self, item: RestoredItem, state: MessageState, folder: Path) -> Placed:
        if item.content is None:
            raise ItemRefusedError("the message has no content")
        time_ms = state.sent_ms if state.received_ms is None else state.received_ms
        letters = "".join(sorted({MAILDIR_LETTERS.get(flag, "") for flag in state.flags}))
        for number in itertools.count(1):
            base = _message_base(item.key, time_ms, number)
            final = folder / "cur" / f"{base}:2,{letters}"
            found = self._find(str(final.relative_to(self._root)))
            if found is None or holds_exactly(found, item.content):
                break
        told, kept = {"received_ms"}, dict[str, Any]()
        if found is None:
            found = final
            self._staging.add(folder / "tmp" / base, final, item.content, owner=self._owner)
            self._staged[base] = found
            kept["flags"] = _flags_in(found.name)
            if time_ms is not None and self._staging.set_time(found, time_ms):
                kept["received_ms"] = time_ms
            else:
                told.clear()
        if set(state.flags) <= MAILDIR_LETTERS.keys():
            told.add("flags")
        name = str(found.relative_to(self._root))
        return Placed(name, kept=kept, left_out=left_out(item, told))

    def _ensure(self, directory: str) -> int:
        """Make the folder in *directory* if it is missing, ``cur`` last: where that is, all is."""
        folder = self._root / directory
        if directory in self._ensured:
            return 0
        missing = not (folder / "cur").is_dir()
        if not directory:
            self._refuse_what_is_no_maildir(missing)
            self._staging.make_directory(self._root)
            self._owner = owner_to_keep(self._root)
        if directory and missing:
            self._staging.make_directory(folder, owner=self._owner)
            self._mark(folder / _FOLDER_MARK)
        for name in _SUBDIRECTORIES:
            self._staging.make_directory(folder / name, owner=self._owner)
        self._ensured.add(directory)
        return int(missing)

    def _refuse_what_is_no_maildir(self, without_cur: bool) -> None:
        if not without_cur or not self._root.exists():
            return
        others = set(os.listdir(self._root)) - set(_SUBDIRECTORIES)
        if not all(name.startswith(ID_MAP_PREFIX) for name in others):
            raise TargetError(
                f"{self._root} is not empty and no Maildir",
                hint="Name a Maildir (it has a directory 'cur'), or a directory that is new.",
            )

    def _mark(self, path: Path) -> None:
        """The empty file by which delivery agents know a folder from a Maildir of its own."""
        self._disk.append(path).close()
        if self._owner is not None:
            os.chown(path, *self._owner)

    def _find(self, name: str) -> Path | None:
        """Where the message is that was put under *name*; a client may have moved or marked it."""
        path = self._root / name
        if path.exists():
            return path
        found = self._index().get(_base(name))
        if found is not None and not found.exists():
            self._messages = None
            found = self._index().get(_base(name))
        return found

    def _index(self) -> dict[str, Path]:
        """Where the messages are that some restore put here."""
        if self._messages is None:
            self._messages = {
                _base(entry.name): Path(entry.path)
                for folder in (self._root, *self._root.glob(".*/"))
                for directory in (folder / "new", folder / "cur")
                if directory.is_dir()
                for entry in os.scandir(directory)
                if _OURS in entry.name
            }
            self._others_may_have_written = False
        return self._messages


def _is_inbox(folder: FolderPath) -> bool:
    only = folder.names[0] if len(folder.names) == 1 else ""
    return folder.use == _INBOX or only.casefold() == _INBOX


def _level(name: str, depth: int) -> str:
    """One level of a folder's directory; only one below another can be empty."""
    return "" if depth and name == EMPTY_LEVEL else _folder_name(name)


def _folder_name(name: str) -> str:
    possible = _NOT_IN_FOLDER_NAMES.sub("_", name)
    if possible != name or not name:
        possible = f"{possible or '_'}-{_hash(name)}"
    return encode_modified_utf7(possible)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def _lost_of_folder(item: RestoredItem, directory: str) -> tuple[str, ...]:
    """What the directory of a folder does not tell of it."""
    name = item.folder.names[-1] if item.folder.names else ""
    told = {"parent"}
    as_it_is = name and not _NOT_IN_FOLDER_NAMES.search(name)
    is_empty = name == EMPTY_LEVEL and directory.endswith(".")
    if (
        _is_inbox(item.folder)
        or is_empty
        or (as_it_is and directory.endswith(encode_modified_utf7(name)))
    ):
        told.add("name")
    if (item.folder.use or "").casefold() in (_INBOX, name.casefold()):
        told.add("use")
    return left_out(item, told)


def _message_base(key: str, time_ms: int | None, number: int) -> str:
    """The part of a message's name that stays whatever happens to it."""
    seconds = min(max(time_ms or 0, 0), _TIME_MS_MAX) // 1000
    return f"{seconds}.{key}{_OURS}" + (f"-{number}" if number > 1 else "")


def _base(name: str) -> str:
    return re.split("[,:]", name.rpartition("/")[2], maxsplit=1)[0]


def _flags_in(name: str) -> list[str]:
    return [_WORDS[letter] for letter in name.partition(":2,")[2] if letter in _WORDS]
