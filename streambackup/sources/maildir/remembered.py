"""What the source remembers of a tree, under which keys.

account                what says that the account was published
d/<directory>          Folder
k/<folder>             Dovecot's keywords of the folder
m/<folder>/<base name> Message
n/<inode>              the key of the message whose file has that number
i/<item>               empty; of every item that is not ``<its folder>/<its base name>``
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from streambackup.sources.maildir.folders import Folder
from streambackup.sources.maildir.headers import Header
from streambackup.sources.maildir.names import base_of, flags_of, letters_of, text_of
from streambackup.sources.maildir.reading import FileFacts
from streambackup.sources.port import Memory

ACCOUNT = "account"
FOLDERS = "d/"
MESSAGES = "m/"

encode = msgspec.msgpack.encode


class Message(msgspec.Struct, frozen=True, array_like=True):
    """A message as it was last observed. ``name`` is its file's, below the folder's directory."""

    item: str
    name: bytes
    tags: tuple[str, ...]
    facts: FileFacts
    digest: str
    header: Header

    @property
    def letters(self) -> str:
        return letters_of(self.name)

    def state(self, folder: str) -> dict[str, Any]:
        """The item's state in *folder*. The file's time of modification is when it was received,
        as Dovecot, Courier, mutt and mbsync have it.
        """
        header = msgspec.structs.asdict(self.header)
        return {
            "folder": folder,
            "flags": flags_of(self.letters),
            "tags": list(self.tags),
            "received_ms": max(0, self.facts.mtime_ns // 1_000_000),
            **{key: value for key, value in header.items() if value is not None},
        }


def decode_message(data: bytes) -> Message:
    return msgspec.msgpack.decode(data, type=Message)


def decode_folder(data: bytes) -> Folder:
    return msgspec.msgpack.decode(data, type=Folder)


def decode_keywords(data: bytes | None) -> list[str]:
    return msgspec.msgpack.decode(data, type=list[str]) if data else []


def folder_key(folder: str) -> str:
    return FOLDERS + folder


def keywords_key(folder: str) -> str:
    return f"k/{folder}"


def messages_prefix(folder: str) -> str:
    return f"{MESSAGES}{folder}/"


def message_key(folder: str, name: bytes) -> str:
    """Of the file *name*, which may stand with its directory."""
    return messages_prefix(folder) + text_of(base_of(name.rpartition(b"/")[2]))


def folder_of(key: str) -> str:
    """The folder in a message's key."""
    return key.split("/", 2)[1]


def inode_key(inode: int) -> str:
    return f"n/{inode}"


def item_key(item: str) -> str:
    return f"i/{item}"


def natural_item(key: str) -> str:
    """The item of a message that was first seen under *key*, unless another has it."""
    return key.removeprefix(MESSAGES)


class Notebook:
    """A memory as it will be once the observations made so far are recorded."""

    def __init__(self, memory: Memory, account: str) -> None:
        self._memory = memory
        self._account = account
        self._pages: dict[str, bytes | None] = {}

    def fetch(self, keys: Iterable[str]) -> None:
        """Look up *keys* together; the others are looked up one by one."""
        missing = [key for key in dict.fromkeys(keys) if key not in self._pages]
        found = self._memory.get(self._account, missing)
        self._pages.update((key, found.get(key)) for key in missing)

    def get(self, key: str) -> bytes | None:
        if key not in self._pages:
            self.fetch([key])
        return self._pages[key]

    def message(self, key: str) -> Message | None:
        data = self.get(key)
        return None if data is None else decode_message(data)

    def write(self, changes: dict[str, bytes | None]) -> dict[str, bytes | None]:
        """Take in *changes*, and give them back for the observation that carries them."""
        self._pages.update(changes)
        return changes
