"""One Maildir++ tree: listed and compared with what is remembered, then followed by its events."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple, TypeVar

from streambackup.domain.entry import ItemType
from streambackup.runtime.clock import Clock
from streambackup.sources.maildir.away import TreeAwayError, away_if_unreadable
from streambackup.sources.maildir.folder_watch import PARTS, Complain, FolderWatch
from streambackup.sources.maildir.folders import Folder, directory_of
from streambackup.sources.maildir.messages import KEYWORDS_FILE, Messages, Names, ReadAll
from streambackup.sources.maildir.names import ROOT, is_folder_name
from streambackup.sources.maildir.opened import OpenFolders, UnknownError
from streambackup.sources.maildir.remembered import (
    ACCOUNT,
    MESSAGES,
    Notebook,
    decode_keywords,
    decode_message,
    encode,
    folder_of,
    keywords_key,
    message_key,
    messages_prefix,
)
from streambackup.sources.maildir.watcher import Event, Watcher
from streambackup.sources.port import Memory, Observation

BATCH_MAX = 500

Batches = Iterator[list[Observation]]
T = TypeVar("T")


class _Touched(NamedTuple):
    """The names that a file of ``folder`` may have now, the likeliest first; ``left`` where the
    last that was heard of it is that it went.
    """

    folder: str
    names: tuple[bytes, ...]
    left: bool


class Tree:
    """The Maildir of *account* at *root*. All calls block; a batch is drawn only when the one
    before is in the memory.
    """

    def __init__(
        self,
        account: str,
        root: bytes,
        *,
        watcher: Watcher,
        clock: Clock,
        read_all: ReadAll,
        complain: Complain,
    ) -> None:
        self.account = account
        self._root = root
        self._watcher = watcher
        self._clock = clock
        self._complain = complain
        self._messages = Messages(account, root, clock=clock, read_all=read_all, complain=complain)
        self._folders = FolderWatch(account, root, watcher=watcher, clock=clock, complain=complain)
        self._device_and_inode: tuple[int, int] | None = None
        self._unlisted: set[str] = set()
        self._without_keywords: set[str] = set()
        self._again: dict[str, _Touched] = {}

    @property
    def looks_again(self) -> bool:
        """Whether something could not be told, so that ``changes`` has work without an event."""
        return bool(self._again or self._without_keywords)

    def list_all(self, memory: Memory) -> Batches:
        """Every difference between the tree and *memory*; the tree is watched from here on.

        Raises:
            TreeAwayError: also from every later call, which then says nothing.
        """
        self._device_and_inode = self._look_at_root()
        self._unlisted, self._again = set(), {}
        if not memory.get(self.account, [ACCOUNT]):
            yield [self._account_put()]
        observed, gone, _ = self._folders.compare(memory)
        yield from _batched(observed)
        for folder in list(self._folders.by_name.values()):
            yield from self._list_folder(memory, folder)
        for folder in list(self._folders.by_name.values()):
            yield from self._sweep(memory, folder)
        for folder in gone:
            yield from self._remove(memory, folder)

    def changes(self, memory: Memory, events: Sequence[Event]) -> Batches:
        """What *events*, in their order, have changed. Costs what is in them, not what is in the
        tree, except that a folder that comes is listed.
        """
        self._check_root()
        gone: list[Folder] = []
        if any(map(_concerns_folders, events)):
            observed, gone, fresh = self._folders.compare(memory)
            self._check_root()
            yield from _batched(observed)
            self._unlisted |= {folder.item for folder in fresh}
        fresh = [folder for item in self._unlisted if (folder := self._folders.by_item.get(item))]
        self._unlisted = set()
        for folder in fresh:
            yield from self._list_folder(memory, folder)
        for folder in self._with_new_keywords(events):
            yield from self._compare_keywords(memory, folder)
        yield from self._follow(memory, self._touched(events))
        for folder in fresh:
            yield from self._sweep(memory, folder)
        for folder in gone:
            yield from self._remove(memory, folder)

    def _look_at_root(self) -> tuple[int, int]:
        with away_if_unreadable(self._root):
            root = os.stat(self._root)
            os.stat(self._root + b"/cur")
        return root.st_dev, root.st_ino

    def _check_root(self) -> None:
        if self._look_at_root() != self._device_and_inode:
            raise TreeAwayError(f"{os.fsdecode(self._root)} was replaced by another directory")

    def _account_put(self) -> Observation:
        return Observation(
            account=self.account,
            time_ms=self._clock.now_ms(),
            operation="put",
            item=self.account,
            type=ItemType.ACCOUNT,
            state={"address": self.account},
            remember={ACCOUNT: b""},
        )

    def _remove(self, memory: Memory, folder: Folder) -> Batches:
        """Deletes for what was in *folder*, then its own.

        Not while there is news on folders: a directory that was renamed while they were listed may
        have been missed under both names. It is compared again then.
        """
        if any(map(is_folder_name, self._watcher.names(self.account, ""))):
            return
        rows = memory.scan(self.account, messages_prefix(folder.item))
        yield from self._delete(memory, (key for key, _ in rows))
        self._check_root()
        if not self._watcher.overflowed:
            yield [self._folders.removal(folder)]

    def _list_folder(self, memory: Memory, folder: Folder) -> Batches:
        """What is new or changed in *folder*."""
        if (keywords := self._new_keywords(memory, folder)) is not None:
            yield [self._keywords_put(folder, keywords)]
        with self._opened() as listing:
            for names in _batched(self._names_in(listing, folder)):
                files = [Names(folder, (name,)) for name in names]
                names_by_key = {file.key: file.names[0] for file in files}
                notebook = Notebook(memory, self.account)
                with self._opened() as opened:
                    observed, absent = self._messages.look(notebook, opened, files, listed=True)
                for key in absent:
                    self._again[key] = _Touched(folder.item, (names_by_key[key],), left=False)
                self._watcher.pull()
                yield from self._give(memory, observed)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[OpenFolders]:
        """The folders' directories; those that were not where they were seen are listed again."""
        with OpenFolders(self._root, self._folders.by_item) as opened:
            yield opened
        self._unlisted |= opened.displaced

    def _names_in(self, opened: OpenFolders, folder: Folder) -> Iterator[bytes]:
        for part in PARTS:
            try:
                yield from opened.names(folder, part)
            except UnknownError:
                return
            except OSError as error:
                path = directory_of(self._root, folder) + b"/" + part
                self._complain(path, str(error.strerror))

    def _sweep(self, memory: Memory, folder: Folder) -> Batches:
        """What is remembered of *folder* and no longer there."""
        rows = memory.scan(self.account, messages_prefix(folder.item))
        yield from self._delete(memory, (key for key, _ in rows))

    def _give(self, memory: Memory, observed: list[Observation]) -> Batches:
        """Give *observed*, then note what of it was not recorded because its file was not there
        any more, to be looked at again: a folder that is renamed takes its files along without a
        word on them.
        """
        if not observed:
            return
        yield observed
        wrote = {
            key: value
            for observation in observed
            for key, value in observation.remember.items()
            if value is not None and key.startswith(MESSAGES)
        }
        recorded = memory.get(self.account, list(wrote))
        for key, value in wrote.items():
            if recorded.get(key) != value:
                name = decode_message(value).name
                self._again[key] = _Touched(folder_of(key), (name,), left=False)

    def _delete(self, memory: Memory, keys: Iterable[str]) -> Batches:
        """Deletes for those of *keys* whose files are gone.

        None while events are missing, and none of a name on which there is news: listing a
        directory is not atomic, and a file that was renamed meanwhile looks gone until its event is
        read.
        """
        for some in _batched(keys):
            notebook = Notebook(memory, self.account)
            with self._opened() as opened:
                observed = self._messages.gone(notebook, opened, some)
            waiting = {
                message_key(item, name)
                for item in {folder_of(key) for key in some} & self._folders.by_item.keys()
                for name in self._watcher.names(self.account, item)
            }
            observed = [seen for seen in observed if not waiting & seen.remember.keys()]
            if self._watcher.overflowed:
                return
            if observed:
                self._check_root()
                yield observed

    def _touched(self, events: Iterable[Event]) -> dict[str, _Touched]:
        """The files that *events* name, or that are to be looked at again, by key."""
        touched, self._again = self._again, {}
        for event in events:
            item = event.place.folder
            known = item in self._folders.by_item
            if not known or event.of_directory or event.name.startswith(b"."):
                continue
            name = event.place.part + b"/" + event.name
            key = message_key(item, name)
            before = touched[key].names if key in touched else ()
            others = tuple(other for other in before if other != name)
            names = (*others, name) if event.left else (name, *others)
            touched[key] = _Touched(item, names, event.left)
        return touched

    def _follow(self, memory: Memory, touched: dict[str, _Touched]) -> Batches:
        """What has become of *touched* files: first those that came, then those that left."""
        gone: list[str] = []
        for some in _batched(touched.items()):
            files = [
                Names(folder, file.names)
                for _, file in some
                if (folder := self._folders.by_item.get(file.folder))
            ]
            notebook = Notebook(memory, self.account)
            with self._opened() as opened:
                observed, absent = self._messages.look(notebook, opened, files, listed=False)
            for key in absent:
                if touched[key].left:
                    gone.append(key)
                else:
                    # It should be there, readable or not. If it is gone, that event is on its way.
                    self._again[key] = touched[key]
            yield from self._give(memory, observed)
        yield from self._delete(memory, gone)

    def _with_new_keywords(self, events: Iterable[Event]) -> list[Folder]:
        """The folders whose letters may mean something else, those that did not tell included."""
        items = {
            folder.item
            for event in events
            if not event.place.folder and event.name == KEYWORDS_FILE
            if (folder := self._folders.by_name.get(event.place.part))
        }
        asked = sorted(items | self._without_keywords)
        return [folder for item in asked if (folder := self._folders.by_item.get(item))]

    def _compare_keywords(self, memory: Memory, folder: Folder) -> Batches:
        """Tag the messages of *folder* anew if its letters have come to mean something else. That
        happens at most as often as there are letters, so it may cost what the folder holds.
        """
        keywords = self._new_keywords(memory, folder)
        if keywords is None:
            return
        rows = memory.scan(self.account, messages_prefix(folder.item))
        for some in _batched((key, decode_message(data)) for key, data in rows):
            if observed := self._messages.retag(folder, keywords, some):
                yield observed
        yield [self._keywords_put(folder, keywords)]

    def _new_keywords(self, memory: Memory, folder: Folder) -> list[str] | None:
        """What the letters mean in *folder*, None if that is not new. None also where it cannot be
        told: what is remembered holds until then, and the next change asks again.
        """
        self._without_keywords.discard(folder.item)
        try:
            with self._opened() as opened:
                keywords = self._messages.keywords(opened, folder)
        except UnknownError:
            self._without_keywords.add(folder.item)
            return None
        key = keywords_key(folder.item)
        before = decode_keywords(memory.get(self.account, [key]).get(key))
        return None if keywords == before else keywords

    def _keywords_put(self, folder: Folder, keywords: list[str]) -> Observation:
        return Observation(
            account=self.account,
            time_ms=self._clock.now_ms(),
            operation=None,
            remember={keywords_key(folder.item): encode(keywords)},
        )


def _concerns_folders(event: Event) -> bool:
    if event.place.folder or not event.of_directory:
        return False
    return event.name in PARTS or (event.place.part == ROOT and is_folder_name(event.name))


def _batched(values: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(values)
    while batch := list(islice(rest, BATCH_MAX)):
        yield batch
