"""Where a replay goes: a path that it makes, or one that the same replay made before."""

from __future__ import annotations

from pathlib import Path

import msgspec

from streambackup.errors import NoStoreError, StoreError, UsageError
from streambackup.events.config import Primary, StoreSetup
from streambackup.metadata.store_config import StoreConfig, read_store_config
from streambackup.runtime.clock import Clock
from streambackup.runtime.disk import Disk
from streambackup.service.settings import StoreSettings
from streambackup.service.store_home import (
    StoreHome,
    create_store,
    find_store,
    new_store_id,
    open_store,
)

NOTE_FILE = "replay.json"


class ReplayNote(msgspec.Struct, frozen=True):
    """What says, in a node's state, that its store came from the topics of *primary*."""

    primary: str


def wanted_setup(primary: Primary, like: Path | None) -> StoreSetup:
    """How the store has to be set up to have the primary's histories: as the store *like*, or as
    the topics tell.

    Raises:
        UsageError: neither tells. StoreError: *like* is no store.
    """
    if like is not None:
        config = read_store_config(like)
        return StoreSetup(
            created_ms=config.created_ms,
            moment_ms=config.moment_ms,
            ignored_attributes=config.ignored_attributes,
        )
    if primary.setup is None:
        raise UsageError(
            f"the topics do not tell with which settings store {primary.store} was made",
            hint="Name it, or a copy of it: --like PATH. 'streambackup init' repeated there tells "
            "the topics.",
        )
    return primary.setup


def target_settings(settings: StoreSettings, to: Path) -> StoreSettings:
    """The store at *to*: that of the settings, or one with its state inside."""
    if to.absolute() == settings.path.absolute():
        return settings
    return StoreSettings(path=to)


def open_target(
    target: StoreSettings,
    primary: Primary,
    setup: StoreSetup,
    *,
    as_primary: bool,
    disk: Disk,
    clock: Clock,
) -> StoreHome:
    """The store to replay into, made now or by the same replay before. By the id of the *primary*
    where it shall take its place, else by one of its own.

    Raises:
        StoreError: *target* is another store, or holds something else. UsageError: it was begun to
        be something else.
    """
    try:
        found = find_store(target)
    except NoStoreError:
        config = StoreConfig(
            store=primary.store if as_primary else new_store_id(),
            created_ms=setup.created_ms if as_primary else clock.now_ms(),
            moment_ms=setup.moment_ms,
            ignored_attributes=setup.ignored_attributes,
        )
        return _make(target, config, primary, disk)
    _check(found, primary, setup, as_primary=as_primary)
    return open_store(target, disk=disk, clock=clock)


def _make(target: StoreSettings, config: StoreConfig, primary: Primary, disk: Disk) -> StoreHome:
    note = msgspec.json.encode(ReplayNote(primary.store)) + b"\n"
    home = create_store(target, config, disk, {NOTE_FILE: note})
    for index in home.state.rglob("blobs-*.sqlite*"):  # What it counted was lost with the path.
        disk.unlink(index)
    return home


def _check(found: StoreHome, primary: Primary, setup: StoreSetup, *, as_primary: bool) -> None:
    """That *found* is what this replay made before."""
    if _note(found.state) != ReplayNote(primary.store):
        raise StoreError(
            f"{found.root} is the store {found.config.store}, which no replay of these topics made",
            hint="Choose an empty directory, or one that does not exist.",
        )
    if as_primary != (found.config.store == primary.store):
        raise UsageError(
            f"{found.root} was begun {'without' if as_primary else 'with'} --as-primary",
            hint="Repeat the replay as it was begun, or choose another directory.",
        )
    made = (found.config.moment_ms, found.config.ignored_attributes)
    if made != (setup.moment_ms, setup.ignored_attributes):
        raise UsageError(
            f"{found.root} was made with other settings than the store it is to be like",
            hint="Repeat the replay as it was begun, or choose another directory.",
        )


def _note(state: Path) -> ReplayNote | None:
    try:
        return msgspec.json.decode((state / NOTE_FILE).read_bytes(), type=ReplayNote)
    except (OSError, msgspec.MsgspecError):
        return None
