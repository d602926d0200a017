"""The backup path as a place: made once, known again by its id, and refused when it is another's.

``streambackup.json`` names the store and holds the settings that decide what is recorded. ``init``
writes it, and an equal copy into the node's state directory; a service starts only where both are
equal. Commands that only read need the first alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import msgspec

from streambackup.domain.instant import format_instant
from streambackup.errors import NoSpaceError, NoStoreError, StoreError, UsageError
from streambackup.journal.owner import StoreIdentity
from streambackup.metadata.store_config import (
    STORE_FILE,
    StoreConfig,
    encode_store_config,
    read_store_config,
)
from streambackup.runtime.clock import Clock
from streambackup.runtime.disk import Disk, storage_errors
from streambackup.service.settings import StoreSettings

FIRST_RUN_FILE = "backupstat"
_MACHINE_ID = Path("/etc/machine-id")


class StoreHome(msgspec.Struct, frozen=True):
    """A store that exists: its directory, this node's part of it, and its file."""

    root: Path
    state: Path
    node: str
    config: StoreConfig

    @property
    def identity(self) -> StoreIdentity:
        """What owners of partitions sign their epochs with."""
        return StoreIdentity(
            store=self.config.store,
            node=self.node,
            moment_ms=self.config.moment_ms,
            ignored_attributes=self.config.ignored_attributes,
        )


def node_id() -> str:
    """This machine, the same after every restart: from its machine id, else its host name."""
    try:
        name = _MACHINE_ID.read_text().strip()
    except OSError:
        name = ""
    return hashlib.sha256(f"streambackup {name or socket.gethostname()}".encode()).hexdigest()[:16]


def find_store(settings: StoreSettings) -> StoreHome:
    """The store at ``store.path``, for reading. Nothing is written.

    Raises:
        NoStoreError: there is none; its cure tells whether this node has one that is not there.
        StoreError: it is damaged, or a newer release made it.
    """
    try:
        return _home(settings, read_store_config(settings.path))
    except NoStoreError:
        _refuse_without_own(settings)
        raise


def find_state(settings: StoreSettings) -> Path:
    """This node's part of the store at ``store.path``, also where the path itself was lost.

    Raises:
        NoStoreError: there is neither. StoreError: as ``find_store``.
    """
    try:
        return find_store(settings).state
    except NoStoreError:
        if settings.state_path is None or _known(settings.state_path) is None:
            raise
        return settings.state_path


def open_store(settings: StoreSettings, *, disk: Disk, clock: Clock) -> StoreHome:
    """The store at ``store.path``, for a service of this node; notes the time of its first run.

    Raises:
        StoreError: there is none, it is not this node's, its file was changed, or the directory is
            not eligible.
    """
    home = find_store(settings)
    copy = _known(home.state)
    if copy is None:
        raise StoreError(
            f"{home.root} is the store of another node: {home.state} does not know it",
            hint="If this node shall work on it from now on, run 'streambackup init --join'.",
        )
    if copy != home.config:
        raise StoreError(
            f"{home.root} is not the store that this node was set up for: "
            f"its {STORE_FILE} differs from the one in {home.state}",
            hint="Set store.path to the right directory; or, where one of "
            f"{home.root / STORE_FILE} and {home.state / STORE_FILE} was changed, "
            "copy the other over it.",
        )
    probe(home.root, disk)
    first_run = home.root / FIRST_RUN_FILE
    if not first_run.exists():
        disk.replace(first_run, format_instant(clock.now_ms()).encode() + b"\n")
    return home


def create_store(
    settings: StoreSettings,
    wanted: StoreConfig,
    disk: Disk,
    notes: Mapping[str, bytes] = MappingProxyType({}),
) -> StoreHome:
    """Make *wanted* at ``store.path``; durable on return. Repeated with the same moment and ignored
    attributes, it finishes what an interrupted one began and else changes nothing. *notes* are
    files of this node's state, there before the store is one.

    Raises:
        UsageError: there is a store with others. NoStoreError: this node has a store, and it is not
            there. StoreError: the directory is not eligible, not empty, or the store there belongs
            to another node. Whatever is raised, no store's file was written.
    """
    root = settings.path
    try:
        found = read_store_config(root)
    except NoStoreError:
        return _make_store(settings, wanted, disk, notes)
    home = _home(settings, found)
    if (found.moment_ms, found.ignored_attributes) != (wanted.moment_ms, wanted.ignored_attributes):
        raise UsageError(
            f"{root} is a store with moment_ms {found.moment_ms} and the ignored attributes "
            f"{', '.join(found.ignored_attributes) or 'none'}; they are fixed",
            hint="Repeat init with the same values, or choose another --path.",
        )
    if _known(home.state) != found:
        raise StoreError(
            f"{root} is a store already, and not this node's",
            hint="If this node shall work on it from now on, run 'streambackup init --join'.",
        )
    return home


def _make_store(
    settings: StoreSettings, wanted: StoreConfig, disk: Disk, notes: Mapping[str, bytes]
) -> StoreHome:
    root = settings.path
    _refuse_without_own(settings, but=wanted.store)
    _refuse_foreign_files(root)
    with _writing_in(root):
        disk.ensure_directories(root)
    probe(root, disk)
    begun = _known(_home(settings, wanted).state)
    if begun is not None:  # What else lies in that state directory is of this store already.
        wanted = msgspec.structs.replace(wanted, store=begun.store, created_ms=begun.created_ms)
    home = _home(settings, wanted)
    _note_here(home, disk)
    for name, content in notes.items():
        disk.replace(home.state / name, content)
    disk.replace(root / STORE_FILE, encode_store_config(wanted))
    return home


def new_store_id() -> str:
    """The random name of a store to be made."""
    return secrets.token_hex(16)


def join_store(settings: StoreSettings, *, disk: Disk) -> StoreHome:
    """Let this node work on the store at ``store.path``, which another one made.

    Raises:
        StoreError: there is none, or this node's state is of another store.
    """
    home = find_store(settings)
    copy = _known(home.state)
    if copy is not None and copy != home.config:
        raise StoreError(
            f"{home.state} belongs to the store {copy.store}, not to {home.config.store}",
            hint="Set store.state_path to an empty directory.",
        )
    probe(home.root, disk)
    _note_here(home, disk)
    return home


def probe(root: Path, disk: Disk) -> None:
    """That *root* can hold a store: readable, writable, case told apart.

    Raises:
        StoreError: with the reason; nothing is left behind.
    """
    name = f".probe-{secrets.token_hex(8)}"
    lower, upper = root / name, root / name.upper()
    with _writing_in(root):
        disk.create(lower).close()
    try:
        if upper.exists():
            raise StoreError(
                f"{root} does not tell upper from lower case",
                hint="Put the store on a case-sensitive file system (ext4, XFS, ZFS, ...).",
            )
        with storage_errors(root):
            os.listdir(root)
    finally:
        disk.unlink(lower)


@contextlib.contextmanager
def _writing_in(root: Path) -> Iterator[None]:
    """Turn whatever keeps a store out of *root* into one error with its cure."""
    try:
        yield
    except NoSpaceError:
        raise
    except (StoreError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error.message
        raise StoreError(
            f"{root} cannot be written: {reason}",
            hint="The service's user needs all rights in it; --path names another directory.",
        ) from error


def _home(settings: StoreSettings, config: StoreConfig) -> StoreHome:
    node = node_id()
    state = settings.state_path or settings.path / "state" / node
    return StoreHome(settings.path, state, node, config)


def _known(state: Path) -> StoreConfig | None:
    """The store that a state directory is of."""
    try:
        return read_store_config(state)
    except NoStoreError:
        return None


def _refuse_without_own(settings: StoreSettings, *, but: str | None = None) -> None:
    """Where no store is at ``store.path``, this node may have one all the same: not mounted, say,
    or lost and made anew by the id *but*.

    A state directory in the path itself is what an interrupted init left; it cannot be seen where
    the path is not mounted.

    Raises:
        NoStoreError: it has.
    """
    state = settings.state_path
    if state is None or state.is_relative_to(settings.path):
        return
    copy = _known(state)
    if copy is not None and copy.store != but:
        raise NoStoreError(
            f"{settings.path} is no backup path, and this node was set up for the store "
            f"{copy.store}: is it mounted?",
            hint=f"Mount it, or set store.path to it; {state / STORE_FILE} names it. "
            "A new store needs another store.state_path.",
        )


def _note_here(home: StoreHome, disk: Disk) -> None:
    disk.ensure_directories(home.state)
    disk.replace(home.state / STORE_FILE, encode_store_config(home.config))


def _refuse_foreign_files(root: Path) -> None:
    """An init that was interrupted left at most this node's state behind."""
    with _writing_in(root):
        others = sorted(set(os.listdir(root)) - {"state"}) if root.exists() else []
    if others:
        raise StoreError(
            f"{root} is not empty: it holds {others[0]!r}",
            hint="Choose a directory of its own for the store.",
        )
