"""Somebody who uses a mailbox: a seeded series of changes to a real Maildir++ tree.

Every change is made as mail programs make it, by Python's ``mailbox`` module or by the renames of
the Maildir protocol, never in place. Beside the tree the writer keeps a model of what it holds.
"""

from __future__ import annotations

import hashlib
import mailbox
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.parser import BytesHeaderParser
from pathlib import Path
from random import Random

from tests.corpus.maildirs import FOLDERS, INBOX, folder_path, make_folder
from tests.corpus.messages import message
from tests.corpus.words import phrase

Snapshot = frozenset[tuple[str, str, str]]
"""What a tree holds: folder (``INBOX``, ``Archive.2023``), flags in order, SHA-256 in hex."""

_FLAGS = "FRST"
_FIRST_SENT_S = 1_704_067_200
_SIZE_MEDIAN = 4_000
_SIZE_MAX = 300_000
_HEADERS_MAX = 65_536
_LEVELS_MAX = 3
_FOLDER_NAMES = tuple(name for name in FOLDERS if "." not in name)


@dataclass(frozen=True)
class _Mail:
    """A mail of the model, and the file that holds it."""

    folder: str
    flags: str
    digest: str
    subject: str
    path: Path

    @property
    def key(self) -> str:
        """Its name for Python's ``mailbox``: what stays when flags change."""
        return self.path.name.partition(":")[0]

    def __str__(self) -> str:
        return f"“{self.subject}”"


def snapshot_of(root: Path) -> Snapshot:
    """What the Maildir++ tree at *root* holds, read from disk."""
    return _summary(_read_tree(root))


class Writer:
    """Uses the mailbox at *root*, which it creates where it is missing.

    The same seed on the same tree makes the same changes. Only one writer may work on a tree. A
    tree that a killed writer left is taken over as it stands. Each public verb makes one change,
    which is whole and visible on return, and says what it was; ``step`` draws one of them. A verb
    that finds nothing to work on (no mail, no folder) raises IndexError; ``step`` never does.
    """

    def __init__(self, root: Path, seed: int = 1) -> None:
        make_folder(root, INBOX)
        self._root = root
        self._seed = seed
        self._random = Random(f"writer/{seed}")
        self._folders = _list_folders(root)
        self._mails = _read_tree(root)
        self._delivered = 0

    def step(self) -> str:
        """Make one change, of a kind that the mailbox allows now."""
        weights: dict[Callable[[], str], int] = {self.deliver: 40, self.create_folder: 5}
        if self._mails:
            weights |= {self.mark: 24, self.delete: 9}
        if self._folders:
            weights |= {self.rename_folder: 4, self.delete_folder: 3}
        if self._mails and self._folders:
            weights[self.move] = 15
        action = self._random.choices(list(weights), list(weights.values()))[0]
        return action()

    def snapshot(self) -> Snapshot:
        """What the tree holds after the changes made so far, by the model."""
        return _summary(self._mails)

    def folders(self) -> tuple[str, ...]:
        """The folders beside INBOX."""
        return tuple(self._folders)

    def deliver(self) -> str:
        """A mail that the mailbox does not hold arrives unread, usually in INBOX."""
        at_inbox = not self._folders or self._random.random() < 0.8
        folder = INBOX if at_inbox else self._random.choice(self._folders)
        content = self._new_content()
        path = self._add(folder, content)
        mail = _Mail(folder, "", _digest(content), _subject(content), path)
        self._mails.append(mail)
        return f"delivered {mail} into {folder} ({len(content):,} B)"

    def mark(self) -> str:
        """A mail gets a flag or loses it: one rename, into cur/ where it was new.

        Not by the ``mailbox`` module: it would parse the mail and write it anew.
        """
        mail = self._pick()
        flag = "S" if not mail.flags else self._random.choice(_FLAGS)
        flags = "".join(sorted(set(mail.flags) ^ {flag}))
        self._replace(mail, replace(mail, flags=flags, path=self._file(mail, mail.folder, flags)))
        return f"marked {mail} in {mail.folder}: {mail.flags or 'no flag'} -> {flags or 'no flag'}"

    def move(self) -> str:
        """A mail goes to another folder: mostly by one rename, else as a copy and a removal."""
        mail = self._pick()
        others = [name for name in (INBOX, *self._folders) if name != mail.folder]
        folder = self._random.choice(others)
        if self._random.random() < 0.75:
            moved = replace(mail, folder=folder, path=self._file(mail, folder, mail.flags))
        else:
            copy = replace(mail, path=self._add(folder, mail.path.read_bytes()))
            moved = replace(copy, folder=folder, path=self._file(copy, folder, mail.flags))
            self._box(mail.folder).remove(mail.key)
        self._replace(mail, moved)
        return f"moved {mail} from {mail.folder} to {folder}"

    def delete(self) -> str:
        """A mail is removed for good."""
        mail = self._pick()
        self._remove(mail)
        return f"deleted {mail} from {mail.folder}"

    def create_folder(self) -> str:
        """A folder appears, at the top or below another."""
        name = self._unused_name()
        parents = [folder for folder in self._folders if folder.count(".") < _LEVELS_MAX - 1]
        if parents and self._random.random() < 0.3:
            name = f"{self._random.choice(parents)}.{name}"
        mailbox.Maildir(self._root).add_folder(name)
        self._folders.append(name)
        return f"created folder {name}"

    def rename_folder(self) -> str:
        """A folder gets another name, and those below it with it: one rename for each."""
        old, new = self._random.choice(self._folders), self._unused_name()
        for name in [name for name in self._folders if name == old or _is_below(name, old)]:
            self._rename_one(name, new + name.removeprefix(old))
        return f"renamed folder {old} to {new}"

    def delete_folder(self) -> str:
        """A folder that has none below it is emptied, then removed."""
        leaves = [
            name for name in self._folders if not any(_is_below(o, name) for o in self._folders)
        ]
        name = self._random.choice(leaves)
        mails = [mail for mail in self._mails if mail.folder == name]
        for mail in mails:
            self._remove(mail)
        mailbox.Maildir(self._root).remove_folder(name)
        self._folders.remove(name)
        return f"deleted folder {name} with {len(mails)} mails"

    def _box(self, folder: str) -> mailbox.Maildir:
        return mailbox.Maildir(folder_path(self._root, folder), create=False)

    def _add(self, folder: str, content: bytes) -> Path:
        key = self._box(folder).add(content)
        return folder_path(self._root, folder) / "new" / key

    def _file(self, mail: _Mail, folder: str, flags: str) -> Path:
        """Rename a mail's file to where it shall lie; what is new and has no flag stays new."""
        still_new = mail.path.parent.name == "new" and not flags
        name = f"new/{mail.key}" if still_new else f"cur/{mail.key}:2,{flags}"
        path = folder_path(self._root, folder) / name
        os.rename(mail.path, path)
        return path

    def _remove(self, mail: _Mail) -> None:
        self._box(mail.folder).remove(mail.key)
        self._mails.remove(mail)

    def _rename_one(self, old: str, new: str) -> None:
        target = folder_path(self._root, new)
        os.rename(folder_path(self._root, old), target)
        self._folders[self._folders.index(old)] = new
        for mail in [mail for mail in self._mails if mail.folder == old]:
            path = target / mail.path.parent.name / mail.path.name
            self._replace(mail, replace(mail, folder=new, path=path))

    def _replace(self, old: _Mail, new: _Mail) -> None:
        self._mails[self._mails.index(old)] = new

    def _pick(self) -> _Mail:
        return self._random.choice(self._mails)

    def _new_content(self) -> bytes:
        held = {mail.digest for mail in self._mails}
        size = int(min(self._random.lognormvariate(math.log(_SIZE_MEDIAN), 1.2), _SIZE_MAX))
        while True:
            self._delivered += 1
            sent_s = _FIRST_SENT_S + 60 * self._delivered
            content = message(f"writer/{self._seed}/{self._delivered}", size, sent_s)
            if _digest(content) not in held:
                return content

    def _unused_name(self) -> str:
        """A name of one level that no level of any folder has: nothing merges by a rename."""
        used = {level for folder in self._folders for level in folder.split(".")}
        while True:
            name = phrase(self._random, self._random.randint(1, 2))
            name = self._random.choice((*_FOLDER_NAMES, name))
            if name not in used:
                return name


def _is_below(folder: str, parent: str) -> bool:
    return folder.startswith(f"{parent}.")


def _list_folders(root: Path) -> list[str]:
    return sorted(mailbox.Maildir(root, create=False).list_folders())


def _read_tree(root: Path) -> list[_Mail]:
    """Every mail of the tree, in an order that does not depend on file names."""
    mails = [mail for name in (INBOX, *_list_folders(root)) for mail in _read_folder(root, name)]
    return sorted(mails, key=lambda mail: (mail.folder, mail.digest, mail.flags, mail.path))


def _read_folder(root: Path, folder: str) -> list[_Mail]:
    mails = []
    for part in ("new", "cur"):
        for path in (folder_path(root, folder) / part).iterdir():
            content = path.read_bytes()
            flags = "".join(sorted(path.name.partition(":2,")[2])) if part == "cur" else ""
            mails.append(_Mail(folder, flags, _digest(content), _subject(content), path))
    return mails


def _summary(mails: list[_Mail]) -> Snapshot:
    return frozenset((mail.folder, mail.flags, mail.digest) for mail in mails)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _subject(content: bytes) -> str:
    """The subject for people; as it stands in the header where it cannot be decoded."""
    header = BytesHeaderParser().parsebytes(content[:_HEADERS_MAX])["Subject"] or ""
    try:
        return str(make_header(decode_header(header)))
    except (HeaderParseError, LookupError, UnicodeError):
        return str(header)
