"""Restores put together: the store's reader, content that may still be on the bus, a target,
and the id map beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from streambackup.domain.history import AccountHistory, Doubt, ItemState
from streambackup.domain.transaction import TransactionId
from streambackup.errors import BlobPendingError, TargetError, UsageError
from streambackup.reading.contents import Contents
from streambackup.reading.store_reader import StoreReader
from streambackup.restore.id_map import IdMap, id_map_path
from streambackup.restore.plan import RestorePlan
from streambackup.restore.run import prepare
from streambackup.restore.select import AsOf, DeletedBetween, OneFolder, OneItem, Scope
from streambackup.runtime.clock import Clock
from streambackup.service.lookup import account_named, check_text, find_account, item_named
from streambackup.service.settings import Settings
from streambackup.targets.files import FilesTarget
from streambackup.targets.maildir import MaildirTarget
from streambackup.targets.port import Target

if TYPE_CHECKING:
    from streambackup.service.bus_contents import BusContents


class Form(StrEnum):
    """How items are laid out in the place restored into."""

    MAILDIR = "maildir"
    FILES = "files"


class RestoreRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to bring back of *account*, and where to. ``to`` None is the Maildir that the settings
    watch for the account restored into; ``form`` None is what stands there already, else files.
    """

    account: str
    scope: Scope
    as_of: AsOf
    to: Path | None
    form: Form | None
    into: str | None


class PreparedRestore(msgspec.Struct, frozen=True):
    """A plan with everything needed to carry it out."""

    plan: RestorePlan
    history: AccountHistory
    reader: StoreReader
    target: Target
    id_map: IdMap


def prepare_restore(settings: Settings, request: RestoreRequest) -> PreparedRestore:
    """Decide what to do; nothing is written. Blocking.

    Raises:
        NotFoundError, UsageError: something named in *request* is not there. TargetError: the place
        is part of the backup path.
    """
    reader = StoreReader(settings.store.path)
    account = account_named(reader, request.account)
    into = check_text(request.into or account)
    directory = request.to or _watched_maildir(settings, into)
    check_text(str(directory))
    _refuse_inside(settings.store.path, directory)
    target = _target(directory, request.form or _form_of(directory), into)
    store = reader.config.store
    scope = _with_ids(reader, account, request.scope)
    plan, history = prepare(
        _Lookup(reader), account, scope, request.as_of, store=store, target=target
    )
    plan = msgspec.structs.replace(plan, doubts=_doubts_that_matter(plan, request))
    id_map = IdMap(id_map_path(directory, store), account=account, into=into)
    return PreparedRestore(plan, history, reader, target, id_map)


def _with_ids(reader: StoreReader, account: str, scope: Scope) -> Scope:
    """*scope* with the ids of what it names as lists show it."""
    match scope:
        case OneItem(item=name) if "\\" in name:
            return OneItem(item_named(find_account(reader, account), name))
        case OneFolder(folder=name) if "\\" in name:
            return OneFolder(item_named(find_account(reader, account), name))
    return scope


def _refuse_inside(store: Path, directory: Path) -> None:
    if directory.resolve().is_relative_to(store.resolve()):
        raise TargetError(
            f"{directory} lies in the backup path {store}",
            hint="Restore into a directory outside of it: --to DIRECTORY.",
        )


class AllContents:
    """Contents of the store, and of the bus where they are still on their way. Blocking."""

    def __init__(self, settings: Settings, reader: StoreReader, clock: Clock) -> None:
        self._settings = settings
        self._reader = reader
        self._clock = clock
        self._stored = Contents(reader)
        self._on_bus: BusContents | None = None

    def pieces(self, state: ItemState) -> Iterator[bytes]:
        """The content that *state* names, checked against its digest before the last piece comes;
        nothing where it names none. What is still on the bus is one piece.

        Raises:
            BlobMissingError, BlobDamagedError: the store's answer. BlobPendingError: neither the
            store nor the bus has it. BusError: the bus cannot be read.
        """
        try:
            yield from self._stored.pieces(state)
        except BlobPendingError:
            content = self._from_bus().read(state)
            if content is None:
                raise
            yield content

    def close(self) -> None:
        if self._on_bus is not None:
            self._on_bus.close()

    def _from_bus(self) -> BusContents:
        if self._on_bus is None:
            # Imported here because most restores find everything in the store, and start sooner.
            from streambackup.service.bus_contents import BusContents
            from streambackup.service.wiring import open_bus

            self._on_bus = BusContents(self._reader, open_bus(self._settings, self._clock))
        return self._on_bus


class _Lookup:
    """Histories whose missing accounts are answered with the nearest."""

    def __init__(self, reader: StoreReader) -> None:
        self._reader = reader

    def history(self, account: str, *, until: TransactionId | None = None) -> AccountHistory:
        return find_account(self._reader, account, until=until)


def _watched_maildir(settings: Settings, account: str) -> Path:
    for tree in settings.sources.maildir:
        if tree.account == account:
            return tree.path
    raise UsageError(
        f"the settings name no Maildir of account {account} to restore into",
        hint="Name a directory: --to DIRECTORY.",
    )


def _form_of(directory: Path) -> Form:
    is_maildir = (directory / "cur").is_dir() and (directory / "new").is_dir()
    return Form.MAILDIR if is_maildir else Form.FILES


def _target(directory: Path, form: Form, account: str) -> Target:
    kind = MaildirTarget if form is Form.MAILDIR else FilesTarget
    return kind(directory, account)


def _doubts_that_matter(plan: RestorePlan, request: RestoreRequest) -> tuple[Doubt, ...]:
    """Doubts that begin after the instant restored say nothing about it."""
    match request.scope:
        case DeletedBetween(end_ms=end_ms):
            last_ms: int | None = end_ms
        case _:
            last_ms = request.as_of.instant_ms
    return tuple(d for d in plan.doubts if last_ms is None or d.since_ms <= last_ms)
