"""The fold of one item: chains of neighbours become runs, runs become states."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from streambackup.domain.entry import Entry, Member, Operation
from streambackup.domain.history import ItemState, canonical
from streambackup.domain.moment import clamp
from streambackup.domain.run import continues
from streambackup.domain.transaction import Position, TransactionId


class Run:
    """A chain of entries that the run rule joins; the newest entry holds its state."""

    def __init__(self, entry: Entry, members: list[Member] | None = None) -> None:
        self.entry = entry
        self.members = list(entry.members) if members is None else members

    @property
    def last(self) -> Member:
        return self.members[-1]

    def extend(self, entry: Entry, members: list[Member] | None = None) -> None:
        self.entry = entry
        self.members.extend(entry.members if members is None else members)


class _Judged(msgspec.Struct, frozen=True):
    """A run, or a delete, that is done: what it is in the history is decided.

    ``place`` is its first member's.
    """

    place: Position
    start_ms: int
    ids: tuple[TransactionId, ...]
    late: bool
    deleted: bool
    type: str
    state: dict[str, Any]
    digest: str | None
    size: int | None
    content: Position | None
    published_ms: int


class ItemFold:
    """What the fold knows of one item."""

    def __init__(self, moment_ms: int) -> None:
        self._moment_ms = moment_ms
        self._highest: dict[tuple[str, str], int] = {}
        self._judged: list[_Judged] = []
        self._current: _Judged | None = None
        self._change: int | None = None
        self._pending: Run | None = None
        self._pending_late = False

    @property
    def seen(self) -> bool:
        """Whether the item has any history; a transaction without effect gives it none."""
        return bool(self._judged)

    @property
    def live(self) -> bool:
        return self._current is not None and not self._current.deleted

    @property
    def type(self) -> str:
        return "" if self._current is None else self._current.type

    @property
    def container(self) -> str | None:
        """The folder the item stands in now."""
        if self._current is None:
            return None
        field = "parent" if self._current.type == "folder" else "folder"
        found = self._current.state.get(field)
        return found if isinstance(found, str) else None

    @property
    def last_id(self) -> TransactionId | None:
        """The transaction a precondition has to name."""
        return None if self._current is None else self._current.ids[-1]

    def late_of(self, members: list[Member]) -> set[Member]:
        """Those of *members* that came below the highest number folded for this item,
        each noted.
        """
        late = set()
        for member in members:
            outbox = (member.id.source, member.id.incarnation)
            highest = self._highest.get(outbox, 0)
            if member.id.sequence < highest:
                late.add(member)
            self._highest[outbox] = max(highest, member.id.sequence)
        return late

    def note_without_effect(self, members: list[Member]) -> None:
        """A conditional transaction failed: it is folded, so its re-send does nothing either."""
        self.late_of(members)

    def take(self, entry: Entry, members: list[Member], late: set[Member]) -> None:
        """Fold the *members* of a chain that were not folded before;
        *late* are those that came too late.
        """
        pending = self._pending
        if pending is not None and continues(
            pending.entry, pending.last, entry, members[0], self._moment_ms
        ):
            pending.extend(entry, members)
        else:
            self.judge()
            self._pending = Run(entry, members)
        self._pending_late = members[-1] in late

    def judge(self) -> None:
        """Decide the pending run by its last member: late, or the item's current state."""
        run, self._pending = self._pending, None
        if run is None:
            return
        change = run.last.change
        falls = change is not None and self._change is not None and change < self._change
        late = self._pending_late or falls
        if not late and change is not None:
            self._change = change
        self._append(run.entry, run.members, late=late)

    def delete(self, entry: Entry, member: Member, late: set[Member]) -> None:
        """A many-item transaction takes this item away, unless it came too late for that."""
        self._append(entry, [member], late=member in late)

    def _append(self, entry: Entry, members: list[Member], *, late: bool) -> None:
        start = clamp(members[0].time_ms, members[0].published_ms)
        before = self._current
        if before is not None and not late:
            start = max(start, before.start_ms)
        deleted = entry.operation is not Operation.PUT
        shown: Entry | _Judged = before if deleted and before is not None else entry
        judged = _Judged(
            place=Position(entry.generation, entry.partition, members[0].offset),
            start_ms=start,
            ids=tuple(member.id for member in members),
            late=late,
            deleted=deleted,
            type=shown.type or ("folder" if entry.operation is Operation.FOLDER_DELETE else ""),
            state=shown.state or {},
            digest=shown.digest,
            size=shown.size,
            content=self._place(entry, shown),
            published_ms=members[-1].published_ms,
        )
        self._judged.append(judged)
        if not late:
            self._current = judged

    def _place(self, entry: Entry, shown: Entry | _Judged) -> Position | None:
        """Where the bus holds the content: as said,
        or where the same digest was the time before.
        """
        if entry.content is not None or self._current is None:
            return shown.content
        return self._current.content if shown.digest == self._current.digest else shown.content

    def forget(self, behind: Callable[[Position], bool]) -> None:
        """Drop what begins at a place that is *behind* the one asked for."""
        self._judged = [judged for judged in self._judged if not behind(judged.place)]

    def history(self, ignored_attributes: frozenset[str]) -> tuple[ItemState, ...]:
        """The states to show: without ignored attributes, neighbours that then are equal joined.

        All runs are judged by then.
        """
        shown: list[ItemState] = []
        current: int | None = None
        for judged in self._judged:
            state = _show(judged, ignored_attributes)
            if state.late:
                shown.append(state)
                continue
            if current is not None and _equal(shown[current], state):
                before = shown[current]
                ids = before.transactions + state.transactions
                shown[current] = msgspec.structs.replace(before, transactions=ids)
                continue
            if current is not None:
                shown[current] = msgspec.structs.replace(shown[current], end_ms=state.start_ms)
            current = len(shown)
            shown.append(state)
        return tuple(shown)


def _show(judged: _Judged, ignored_attributes: frozenset[str]) -> ItemState:
    state = {name: v for name, v in judged.state.items() if name not in ignored_attributes}
    return ItemState(
        start_ms=judged.start_ms,
        end_ms=judged.start_ms if judged.late else None,
        type=judged.type,
        transactions=judged.ids,
        state=state,
        deleted=judged.deleted,
        late=judged.late,
        digest=judged.digest,
        size=judged.size,
        content=judged.content,
        published_ms=judged.published_ms,
    )


def _equal(a: ItemState, b: ItemState) -> bool:
    """Whether two states are the same in JSON, where 1, 1.0 and true are three values."""
    return (a.deleted, a.digest, a.type, a.state) == (
        b.deleted,
        b.digest,
        b.type,
        b.state,
    ) and canonical(a.state) == canonical(b.state)
