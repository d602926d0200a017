"""The messages of one account: which item a file is, and what has become of it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from pathlib import Path
from typing import NamedTuple

import msgspec

from streambackup.domain.entry import ItemType
from streambackup.runtime.clock import Clock
from streambackup.sources.maildir.folder_watch import Complain
from streambackup.sources.maildir.folders import Folder, directory_of
from streambackup.sources.maildir.names import letters_of, parse_keywords, tags_of
from streambackup.sources.maildir.opened import At, OpenFolders, UnknownError
from streambackup.sources.maildir.reading import READING_FLAGS, FileFacts, Reading, facts_of
from streambackup.sources.maildir.remembered import (
    Message,
    Notebook,
    decode_keywords,
    encode,
    folder_of,
    inode_key,
    item_key,
    keywords_key,
    message_key,
    natural_item,
)
from streambackup.sources.port import Content, Observation

KEYWORDS_FILE = b"dovecot-keywords"
_KEYWORDS_BYTES_MAX = 64 * 1024

ReadAll = Callable[[Sequence[At]], Sequence[Reading | OSError | None]]
"""Reads some messages as ``read_message`` does."""


class Names(NamedTuple):
    """Names that a message's file may have now, the likeliest first, and its folder."""

    folder: Folder
    names: tuple[bytes, ...]

    @property
    def key(self) -> str:
        return message_key(self.folder.item, self.names[0])


class _Found(NamedTuple):
    key: str
    folder: Folder
    name: bytes
    at: At
    facts: FileFacts
    changed_ms: int


class Messages:
    """Compares files with what is remembered of them. Blocking.

    Letters mean the keywords that are remembered of the folder, never those in its file just now:
    so all its messages are tagged alike, and when others are remembered, ``retag`` mends them all.
    """

    def __init__(
        self, account: str, root: bytes, *, clock: Clock, read_all: ReadAll, complain: Complain
    ) -> None:
        self._account = account
        self._root = root
        self._clock = clock
        self._read_all = read_all
        self._complain = complain

    def look(
        self, notebook: Notebook, opened: OpenFolders, files: Sequence[Names], *, listed: bool
    ) -> tuple[list[Observation], list[str]]:
        """What is new of *files*, and the keys of those that are not there, that went or changed
        while they were read, or that cannot be read.

        A message may have two names for a while: one that was just *listed* does not take the place
        of the one remembered as long as that is there too.
        """
        notebook.fetch(file.key for file in files)
        found, absent = [], []
        for file in files:
            there = self._find(opened, file, notebook.message(file.key))
            if there is None:
                absent.append(file.key)
            else:
                found.append(there)
        if listed:
            found = self._first_of_each(notebook, opened, found)
        readings, unread = self._read(notebook, found)
        found.sort(key=lambda there: notebook.get(there.key) is None)
        observed = (
            self._observe(notebook, opened, there, readings.get(there.key)) for there in found
        )
        return [observation for observation in observed if observation], [*absent, *unread]

    def gone(
        self, notebook: Notebook, opened: OpenFolders, keys: Sequence[str]
    ) -> list[Observation]:
        """Deletes for those of *keys* that are remembered and whose files are not there."""
        notebook.fetch(keys)
        observed = []
        for key in keys:
            message = notebook.message(key)
            if message is None or not _has_left(opened, key, message):
                continue
            forget: dict[str, bytes | None] = {key: None, **_without(notebook, key, message)}
            if natural_item(key) != message.item:
                forget[item_key(message.item)] = None
            observed.append(
                Observation(
                    account=self._account,
                    time_ms=self._clock.now_ms(),
                    operation="delete",
                    item=message.item,
                    remember=notebook.write(forget),
                )
            )
        return observed

    def retag(
        self, folder: Folder, keywords: list[str], rows: Iterable[tuple[str, Message]]
    ) -> list[Observation]:
        """What is new of messages of *folder* because the keywords have changed."""
        observed = []
        for key, message in rows:
            tags = tuple(tags_of(message.letters, keywords))
            if tags != message.tags:
                retagged = msgspec.structs.replace(message, tags=tags)
                now_ms = self._clock.now_ms()
                observed.append(self._put(folder, retagged, now_ms, {key: encode(retagged)}))
        return observed

    def keywords(self, opened: OpenFolders, folder: Folder) -> list[str]:
        """What Dovecot's letters mean in *folder*.

        Raises:
            UnknownError: its file cannot be read, which is complained of until it can.
        """
        at = opened.at(folder, KEYWORDS_FILE)
        if at is None:
            return []
        try:
            descriptor = os.open(at.name, READING_FLAGS, dir_fd=at.directory)
            try:
                data = os.read(descriptor, _KEYWORDS_BYTES_MAX)
            finally:
                os.close(descriptor)
        except FileNotFoundError:
            data = b""
        except OSError as error:
            self._complain(at.path, f"{error.strerror}; its messages' tags may be out of date")
            raise UnknownError from error
        self._complain(at.path, None)
        return parse_keywords(data)

    def _find(self, opened: OpenFolders, file: Names, known: Message | None) -> _Found | None:
        """The first of its names that is there, or None if that cannot be told now."""
        names = file.names if known is None else (*file.names, known.name)
        for name in dict.fromkeys(names):
            path = self._path(file.folder, name)
            try:
                at, there = opened.at(file.folder, name), opened.stat(file.folder, name)
            except UnknownError:
                return None
            except OSError as error:
                self._complain(path, str(error.strerror))
                return None
            if at is None or there is None:
                self._complain(path, None)
                continue
            if stat.S_ISREG(there.st_mode):
                changed_ms = there.st_ctime_ns // 1_000_000
                return _Found(file.key, file.folder, name, at, facts_of(there), changed_ms)
            if not stat.S_ISDIR(there.st_mode):
                self._complain(path, "not a regular file")
        return None

    def _first_of_each(
        self, notebook: Notebook, opened: OpenFolders, found: Sequence[_Found]
    ) -> list[_Found]:
        """*found* without further files of a message that has one already."""
        first: dict[str, _Found] = {}
        for there in found:
            message = notebook.message(there.key)
            elsewhere = message is not None and message.name != there.name
            if there.key in first or (
                message and elsewhere and not opened.lacks(there.folder, message.name)
            ):
                path = self._path(there.folder, there.name)
                self._complain(path, "another file with this message's name is backed up instead")
            else:
                first[there.key] = there
        return list(first.values())

    def _read(
        self, notebook: Notebook, found: Sequence[_Found]
    ) -> tuple[dict[str, Reading], list[str]]:
        """Read what is new or no longer as it was read; also the keys of what was not."""
        changed = []
        for there in found:
            message = notebook.message(there.key)
            if message is None or message.facts != there.facts:
                changed.append(there)
        readings = {}
        unread = []
        read = self._read_all([there.at for there in changed])
        for there, reading in zip(changed, read, strict=True):
            if isinstance(reading, OSError):
                self._complain(there.at.path, str(reading.strerror))
                unread.append(there.key)
                continue
            self._complain(there.at.path, None)
            if reading is None:
                unread.append(there.key)
            else:
                readings[there.key] = reading
        notebook.fetch(inode_key(reading.facts.inode) for reading in readings.values())
        notebook.fetch(item_key(natural_item(there.key)) for there in changed)
        return readings, unread

    def _observe(
        self,
        notebook: Notebook,
        opened: OpenFolders,
        there: _Found,
        reading: Reading | None,
    ) -> Observation | None:
        keywords = decode_keywords(notebook.get(keywords_key(there.folder.item)))
        tags = tuple(tags_of(letters_of(there.name), keywords))
        before = notebook.message(there.key)
        if before is not None and before.facts == there.facts:
            message = msgspec.structs.replace(before, name=there.name, tags=tags)
            changed_ms = there.changed_ms
        elif reading is not None:
            item = before.item if before else ""
            message = Message(item, there.name, tags, reading.facts, reading.digest, reading.header)
            changed_ms = reading.changed_ms
        else:
            return None
        if message == before:
            return None
        remember: dict[str, bytes | None] = {}
        if before is None:
            message, remember = _place(notebook, opened, there.key, message)
        elif before.facts.inode != message.facts.inode:
            remember = _without(notebook, there.key, before)
        remember[there.key] = encode(message)
        remember[inode_key(message.facts.inode)] = there.key.encode()
        return self._put(there.folder, message, changed_ms, notebook.write(remember))

    def _put(
        self, folder: Folder, message: Message, time_ms: int, remember: dict[str, bytes | None]
    ) -> Observation:
        path = Path(os.fsdecode(self._path(folder, message.name)))
        return Observation(
            account=self._account,
            time_ms=min(max(0, time_ms), self._clock.now_ms()),
            operation="put",
            item=message.item,
            type=ItemType.MESSAGE,
            state=message.state(folder.item),
            content=Content(message.digest, message.facts.size, path),
            remember=remember,
        )

    def _path(self, folder: Folder, name: bytes) -> bytes:
        return directory_of(self._root, folder) + b"/" + name


def _place(
    notebook: Notebook, opened: OpenFolders, key: str, message: Message
) -> tuple[Message, dict[str, bytes | None]]:
    """Give *message*, unknown under *key*, its item: the one that its file had elsewhere,
    or a new one.
    """
    before = _left_by(notebook, opened, key, message)
    if before is None:
        item = _free_item(notebook, natural_item(key))
        remember: dict[str, bytes | None] = {}
    else:
        old_key, item = before
        remember = {old_key: None, item_key(item): None}
    if item != natural_item(key):
        remember[item_key(item)] = b""
    return msgspec.structs.replace(message, item=item), remember


def _left_by(
    notebook: Notebook, opened: OpenFolders, key: str, message: Message
) -> tuple[str, str] | None:
    """Where the same file was before it came to *key*, and its item;
    None if it is a copy, or new.
    """
    pointer = notebook.get(inode_key(message.facts.inode))
    if pointer is None or (old_key := pointer.decode()) == key:
        return None
    old = notebook.message(old_key)
    if old is None or old.digest != message.digest or not _has_left(opened, old_key, old):
        return None
    return old_key, old.item


def _has_left(opened: OpenFolders, key: str, message: Message) -> bool:
    """True where *message*, remembered under *key*, is known not to be there any more."""
    folder = opened.by_item.get(folder_of(key))
    return folder is None or opened.lacks(folder, message.name)


def _without(notebook: Notebook, key: str, message: Message) -> dict[str, bytes | None]:
    """Forget whose *message*'s file was, unless another name of it has come to be known since."""
    pointer = inode_key(message.facts.inode)
    return {pointer: None} if notebook.get(pointer) == key.encode() else {}


def _free_item(notebook: Notebook, natural: str) -> str:
    """*natural*, or with ``~2`` and so on behind it where an item that moved away still has it."""
    for number in count(1):
        item = natural if number == 1 else f"{natural}~{number}"
        if notebook.get(item_key(item)) is None:
            return item
    raise AssertionError("Numbers do not end.")
