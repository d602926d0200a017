"""What the kernel says of watched directories, in its order.

inotify itself, not a library that watches trees: those give no order, fail on names that are not
UTF-8 and keep it to themselves when the kernel's queue overflowed.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from inotify_simple import Event as RawEvent
from inotify_simple import INotify, flags

from streambackup.errors import SourceError

EVENTS_MAX = 100_000

_ENTRIES = flags.CREATE | flags.DELETE | flags.MOVED_FROM | flags.MOVED_TO | flags.CLOSE_WRITE
_ONLY_DIRECTORIES = flags.ONLYDIR | flags.DONT_FOLLOW
_FILES_MASK = _ENTRIES | flags.ATTRIB | _ONLY_DIRECTORIES
_DIRECTORY_MASK = _FILES_MASK | flags.DELETE_SELF | flags.MOVE_SELF
_ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}


class Place(NamedTuple):
    """What a watched directory is: the ``part`` of a folder that holds messages (``cur``, ``new``),
    or with an empty part the folder's own; with an empty ``folder`` one that may become a folder.
    """

    account: str
    folder: str
    part: bytes


class Event(NamedTuple):
    place: Place
    mask: int
    cookie: int
    name: bytes

    @property
    def of_directory(self) -> bool:
        return bool(self.mask & flags.ISDIR)

    @property
    def left(self) -> bool:
        """True where the name is gone from the directory."""
        return bool(self.mask & (flags.DELETE | flags.MOVED_FROM))


class Watcher:
    """Watches directories and gathers what happens in them.

    Raises:
        SourceError: the kernel allows no further watcher, or no further watch.
    """

    def __init__(self) -> None:
        try:
            self._inotify = INotify(nonblocking=True)
        except OSError as error:
            raise SourceError(
                f"the kernel gives no inotify instance: {error.strerror}",
                hint="Raise fs.inotify.max_user_instances with sysctl.",
            ) from error
        self._places: dict[int, Place] = {}
        self._descriptors: dict[Place, int] = {}
        self._events: list[Event] = []
        self._names: dict[tuple[str, str], set[bytes]] = defaultdict(set)
        self._overflowed = False

    def fileno(self) -> int:
        """Readable when something has happened."""
        descriptor: int = self._inotify.fileno()
        return descriptor

    def close(self) -> None:
        self._inotify.close()

    def watch(self, directory: bytes, place: Place) -> bool:
        """Watch *directory*, which is now at *place*; True if it was not watched before.

        False also where there is no such directory. What happens in it after this call will be
        told, what happened before it may be.
        """
        mask = _FILES_MASK if place.folder and place.part else _DIRECTORY_MASK
        try:
            descriptor = self._inotify.add_watch(directory, mask)
        except OSError as error:
            if error.errno in _ABSENT:
                return False
            if error.errno == errno.ENOSPC:
                raise SourceError(
                    "the kernel allows no further directory to be watched",
                    hint="Raise fs.inotify.max_user_watches with sysctl.",
                ) from error
            raise
        before = self._descriptors.get(place)
        if before is not None and before != descriptor:
            self._drop(before)
        was = self._places.get(descriptor)
        if was is not None and was != place:
            del self._descriptors[was]
        self._places[descriptor] = place
        self._descriptors[place] = descriptor
        return was is None

    def forget(self, account: str, folder: str | None = None) -> None:
        """Watch a folder, or without one a whole account, no longer."""
        for place in list(self._descriptors):
            if place.account == account and folder in (None, place.folder):
                self._drop(self._descriptors[place])

    def _drop(self, descriptor: int) -> None:
        del self._descriptors[self._places.pop(descriptor)]
        with contextlib.suppress(OSError):
            self._inotify.rm_watch(descriptor)

    def pull(self) -> None:
        """Take over what the kernel has queued, so that its queue does not overflow."""
        while raw := self._read():
            for event in raw:
                self._gather(event)

    def _read(self) -> Iterable[RawEvent]:
        found: list[RawEvent] = self._inotify.read(timeout=0)
        return found

    def _gather(self, event: RawEvent) -> None:
        if event.mask & flags.Q_OVERFLOW:
            self._overflowed = True
            return
        place = self._places.get(event.wd)
        if place is None:
            return
        if event.mask & flags.IGNORED:
            del self._descriptors[self._places.pop(event.wd)]
        elif len(self._events) < EVENTS_MAX:
            gathered = Event(place, event.mask, event.cookie, os.fsencode(event.name))
            self._events.append(gathered)
            if place.folder or gathered.of_directory:
                self._names[place.account, place.folder].add(gathered.name)
        else:
            self._overflowed = True

    @property
    def has_events(self) -> bool:
        """True when ``take`` has something to tell that is no longer in the kernel's queue."""
        return bool(self._events) or self._overflowed

    @property
    def overflowed(self) -> bool:
        """True when not all that happened has been told since ``take``."""
        return self._overflowed

    def half_of_a_move(self) -> bool:
        """True while something left a directory by a rename and has not been seen to arrive."""
        left = {event.cookie for event in self._events if event.mask & flags.MOVED_FROM}
        arrived = {event.cookie for event in self._events if event.mask & flags.MOVED_TO}
        return not left <= arrived

    def names(self, account: str, folder: str) -> set[bytes]:
        """The names in *folder*, or without one of directories that may be folders, of which
        ``take`` will tell.
        """
        self.pull()
        return self._names.get((account, folder), set())

    def take(self) -> tuple[list[Event], bool]:
        """What happened since the last call, in order, and whether that is not all of it."""
        self.pull()
        taken = self._events, self._overflowed
        self._events, self._overflowed = [], False
        self._names.clear()
        return taken
