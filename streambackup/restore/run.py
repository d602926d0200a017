"""Carry out a plan: in batches, resumable after any death, never twice the same item.

Blocking; callers give it a thread. Content goes to the target in pieces.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import islice

import msgspec

from streambackup.domain.entry import ItemType
from streambackup.domain.history import AccountHistory
from streambackup.domain.words import counted
from streambackup.errors import (
    BlobDamagedError,
    InterruptedRunError,
    ItemRefusedError,
    StreamBackupError,
    TargetError,
)
from streambackup.restore.id_map import IdMap, IdMapLine
from streambackup.restore.plan import (
    PlannedItem,
    RestorePlan,
    make_plan,
    restore_key,
    typed_state,
)
from streambackup.restore.ports import Contents, Histories
from streambackup.restore.report import Failure, RestoreReport, Unrestored
from streambackup.restore.salvage import earlier_good, usable_pieces
from streambackup.restore.select import AsOf, Scope
from streambackup.targets.port import Content, ContentError, Placed, RestoredItem, Target

BATCH_ITEMS_MAX = 500
BATCH_BYTES_MAX = 32 * 1024 * 1024


class Progress(msgspec.Struct, frozen=True):
    """How far a restore is: items dealt with, of all, and bytes written."""

    done: int
    selected: int
    restored_bytes: int


class _Put(msgspec.Struct, frozen=True):
    """What stands at the target as soon as it is synced."""

    planned: PlannedItem
    key: str
    placed: Placed


def prepare(
    histories: Histories, account: str, scope: Scope, as_of: AsOf, *, store: str, target: Target
) -> tuple[RestorePlan, AccountHistory]:
    """What to restore of *account* into *target*, and the history that it was decided from.

    Raises:
        NotFoundError, UsageError: the account, the transaction, or what *scope* names is not there.
    """
    history = histories.history(account, until=as_of.transaction)
    plan = make_plan(history, scope, as_of, store=store, into=target.account, place=target.place)
    return plan, history


class RestoreRun:
    """One run of *plan*, made of *history*. ``stop`` is asked between items.

    The same plan may be run again, or by two processes at once: what is there is skipped.
    """

    def __init__(
        self,
        plan: RestorePlan,
        history: AccountHistory,
        *,
        contents: Contents,
        target: Target,
        id_map: IdMap,
        verify: bool = False,
        stop: Callable[[], bool] = lambda: False,
        progress: Callable[[Progress], None] = lambda _: None,
    ) -> None:
        self._plan = plan
        self._history = history
        self._contents = contents
        self._target = target
        self._id_map = id_map
        self._verify = verify
        self._stop = stop
        self._progress = progress
        self._items = iter(plan.items)
        self._counts = Counter[str]()
        self._left_out = Counter[str]()
        self._unrestored: list[Unrestored] = list(plan.unrestorable)

    def run(self) -> None:
        """Restore what is not there yet. Whatever it raises, ``report`` tells how far it came, and
        running the plan again goes on from there.

        Raises:
            InterruptedRunError: ``stop`` said so. TargetError: the target or the id map failed.
        """
        self._unrestored = [self._with_salvage(item) for item in self._unrestored]
        with self._id_map.locked():
            self._counts["folders"] = self._target.ensure_folders(self._plan.folders)
        while self._remaining and not self._stop():
            self._run_batch()
            self._progress(
                Progress(
                    self._selected - self._remaining, self._selected, self._counts["restored_bytes"]
                )
            )
        if self._remaining:
            raise InterruptedRunError(
                f"stopped with {self._remaining} of {counted(self._selected, 'item')} to go",
                hint="The same command goes on where this one stopped.",
            )

    def report(self) -> RestoreReport:
        """The truth so far."""
        plan = self._plan
        return RestoreReport(
            account=plan.account,
            as_of=plan.as_of,
            into=plan.into,
            place=plan.place,
            selected=self._selected,
            restored=self._counts["restored"],
            restored_bytes=self._counts["restored_bytes"],
            skipped=self._counts["skipped"],
            verified=self._counts["verified"],
            remaining=self._remaining,
            folders_made=self._counts["folders"],
            unrestored=tuple(self._unrestored),
            left_out=dict(self._left_out),
            warnings=plan.warnings,
            doubts=plan.doubts,
        )

    @property
    def _selected(self) -> int:
        return len(self._plan.items) + len(self._plan.unrestorable)

    @property
    def _remaining(self) -> int:
        done = self._counts["restored"] + self._counts["skipped"] + len(self._unrestored)
        return self._selected - done

    def _run_batch(self) -> None:
        """Put some items, then make them durable, then tell the id map: see there why."""
        put: list[_Put] = []
        size = 0
        with self._id_map.locked():
            try:
                for planned in islice(self._items, BATCH_ITEMS_MAX):
                    done = self._restore(planned)
                    if done is not None:
                        put.append(done)
                        size += planned.size
                    if size >= BATCH_BYTES_MAX or self._stop():
                        break
            finally:
                self._settle(put)

    def _restore(self, planned: PlannedItem) -> _Put | None:
        key = restore_key(self._plan, planned)
        name = self._id_map.name_of(key)
        if name is not None and self._target.holds(name):
            self._skip(planned, name)
            return None
        try:
            placed = self._target.put(self._restored_item(planned, key))
        except ItemRefusedError as error:
            self._fail(planned, Failure.INVALID, error)
            return None
        except ContentError as error:
            corrupt = isinstance(error.reason, (BlobDamagedError, ValueError))
            self._fail(planned, Failure.BROKEN if corrupt else Failure.READ_ERROR, error.reason)
            return None
        return _Put(planned, key, placed)

    def _restored_item(self, planned: PlannedItem, key: str) -> RestoredItem:
        state = planned.state
        pieces = partial(usable_pieces, state, self._contents)
        return RestoredItem(
            key=key,
            account=self._plan.account,
            item=planned.item,
            type=ItemType(planned.type),
            transaction=planned.transaction,
            state=typed_state(planned.state),
            raw_state=planned.state.state,
            folder=planned.folder,
            content=None if state.digest is None else Content(state.digest, pieces),
        )

    def _settle(self, put: list[_Put]) -> None:
        self._target.sync()
        lines = []
        for done in put:
            if self._differs(done.planned, done.placed):
                continue
            lines.append(
                IdMapLine(
                    account=self._plan.account,
                    item=done.planned.item,
                    transaction=done.planned.transaction,
                    into=self._plan.into,
                    name=done.placed.name,
                    key=done.key,
                )
            )
            self._counts["restored"] += 1
            self._counts["restored_bytes"] += done.planned.size
            self._left_out.update(f"{done.planned.type}.{f}" for f in done.placed.left_out)
        self._id_map.append(lines)

    def _skip(self, planned: PlannedItem, name: str) -> None:
        """It was restored earlier.

        What its owner changed since is the owner's; its content, if asked, is compared.
        """
        if not self._differs(planned, Placed(name)):
            self._counts["skipped"] += 1

    def _differs(self, planned: PlannedItem, placed: Placed) -> bool:
        """Whether the item is to be verified and fails: then that is noted."""
        if not self._verify:
            return False
        try:
            found = self._target.read(placed.name)
        except TargetError as error:
            self._fail(planned, Failure.UNVERIFIED, error)
            return True
        wrong = [field for field, kept in placed.kept.items() if found.kept.get(field) != kept]
        if found.digest != planned.digest:
            wrong.append("content")
        if wrong:
            reason = f"{placed.name} was read back with another {', '.join(wrong)}"
            self._fail(planned, Failure.UNVERIFIED, ValueError(reason))
        self._counts["verified"] += not wrong
        return bool(wrong)

    def _fail(self, planned: PlannedItem, failure: Failure, error: Exception) -> None:
        reason = error.message if isinstance(error, StreamBackupError) else str(error)
        unrestored = Unrestored(planned.item, planned.type, planned.transaction, failure, reason)
        self._unrestored.append(self._with_salvage(unrestored))

    def _with_salvage(self, unrestored: Unrestored) -> Unrestored:
        """Name an earlier state to fall back on where this one cannot be had."""
        history = self._history.items.get(unrestored.item)
        if history is None or unrestored.failure not in (Failure.READ_ERROR, Failure.BROKEN):
            return unrestored
        found = earlier_good(history, unrestored.transaction, self._contents)
        return msgspec.structs.replace(unrestored, salvage=found)
