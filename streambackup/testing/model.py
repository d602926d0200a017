"""A model of histories to hold the fold against: record by record on the raw events, and slow.

It knows nothing of entries, batches, frames or files. Whatever a precondition or a many-item
transaction depends on is worked out anew from all that stands before it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import msgspec

from streambackup.bus.port import Record
from streambackup.domain.entry import NEVER_SEEN, ItemType
from streambackup.domain.transaction import TransactionId
from streambackup.errors import InvalidEventError
from streambackup.events.codec import decode_mailbox_event
from streambackup.events.mailbox import (
    AccountDelete,
    Delete,
    EmptyFolder,
    FolderDelete,
    MailboxEvent,
    Marker,
    MarkerKind,
    Put,
    Transaction,
)
from streambackup.testing.model_state import ModelState

FIVE_MINUTES_MS = 300_000


class ModelAccount(NamedTuple):
    """An account. ``doubts`` are offsets, ``missing`` ids that never came and nobody settled."""

    items: dict[str, list[ModelState]]
    doubts: set[int]
    missing: set[tuple[str, str, int]]
    conflicts: set[TransactionId]


class _Step(NamedTuple):
    """What concerns one item: a record of its own, or of a many-item transaction that reached it.

    ``effect`` is False for a failed condition. ``alone`` steps neither join nor separate by place.
    """

    offset: int
    published_ms: int
    event: Transaction
    alone: bool
    effect: bool = True

    @property
    def id(self) -> TransactionId:
        return TransactionId(self.event.source, self.event.incarnation, self.event.sequence)

    @property
    def time_ms(self) -> int:
        ahead = self.event.time_ms > self.published_ms + FIVE_MINUTES_MS
        return self.published_ms if ahead else self.event.time_ms


_FENCE = None
_Steps = list[_Step | None]


class _Group(NamedTuple):
    """Steps that are one state; ``shown`` holds it."""

    steps: list[_Step]
    shown: _Step
    late: bool
    start_ms: int
    deleted: bool
    type: str
    digest: str | None
    state: dict[str, Any]


def model_accounts(records: Sequence[Record]) -> list[str]:
    """Every account that a usable record names."""
    named = (event.account for _, event in _usable(records))
    return sorted({account for account in named if account is not None})


def model_account(
    records: Sequence[Record],
    account: str,
    *,
    moment_ms: int,
    ignored_attributes: Collection[str] = (),
    until: TransactionId | None = None,
) -> ModelAccount:
    """What *records* of one partition make of *account*."""
    model = _Model(moment_ms)
    for record in records:
        model.add(record, account)
    end = None if until is None else model.first_offset(until)
    items = {}
    for name, steps in model.steps.items():
        groups = model.groups(steps)
        if end is not None:
            groups = [group for group in groups if group.steps[0].offset <= end]
        if groups:
            items[name] = _show(groups, ignored_attributes)
    return ModelAccount(items, model.doubts, model.missing(), model.conflicts)


def _usable(records: Sequence[Record]) -> list[tuple[Record, MailboxEvent]]:
    found = []
    for record in records:
        try:
            event = decode_mailbox_event(record.value)
        except InvalidEventError:
            continue
        if event.account is None or event.account.encode() == record.key:
            found.append((record, event))
    return found


class _Model:
    def __init__(self, moment_ms: int) -> None:
        self._moment_ms = moment_ms
        self.steps: dict[str, _Steps] = {}
        self.doubts: set[int] = set()
        self.conflicts: set[TransactionId] = set()
        self._came: list[_Step] = []
        self._settled: set[tuple[str, str, int]] = set()

    def add(self, record: Record, account: str) -> None:
        usable = _usable([record])
        if not usable:
            if record.key == account.encode():
                self.doubts.add(record.offset)
            return
        ((_, event),) = usable
        if event.account not in (None, account):
            return
        if isinstance(event, Marker):
            self._fence()
            if event.kind is MarkerKind.SCAN_DONE and event.account is not None:
                self.doubts.clear()
                self._settled |= self.missing()
            return
        self._add_transaction(record, event)

    def _add_transaction(self, record: Record, event: Transaction) -> None:
        fencing = not isinstance(event, Put | Delete) or event.after is not None
        step = _Step(record.offset, record.timestamp, event, alone=fencing)
        again = [came for came in self._came if came.id == step.id]
        known = any(_same_content(came.event, event) for came in again)
        self._came.append(step)
        if again and not known:
            self.conflicts.add(step.id)
        if fencing:
            self._fence()
            if not known:
                self._add_fencing(step)
            return
        assert isinstance(event, Put | Delete)
        self.steps.setdefault(event.item, []).append(step)
        if not known and self._is_late(self.steps[event.item], step):
            self.doubts.add(step.offset)

    def _fence(self) -> None:
        for steps in self.steps.values():
            steps.append(_FENCE)

    def _add_fencing(self, step: _Step) -> None:
        event = step.event
        if isinstance(event, Put | Delete):
            holds = self._is_at(event.item, event.after)
            steps = self.steps.setdefault(event.item, [])
            steps.append(step._replace(effect=holds))
            if holds and self._is_late(steps, step):
                self.doubts.add(step.offset)
            return
        if isinstance(event, AccountDelete):
            account = event.account
            if event.after is not None and not self._is_at(account, event.after):
                return
            reached = [name for name in self.steps if self._live(name) is not None]
            sure = all(self._type(name) == ItemType.ACCOUNT for name in reached)
        else:
            assert isinstance(event, EmptyFolder | FolderDelete)
            own = isinstance(event, FolderDelete)
            deep = own or (isinstance(event, EmptyFolder) and event.recursive)
            inside = [n for n in self.steps if self._stands_in(n, event.folder, deep, set())]
            reached = [n for n in inside if n != event.folder] + [event.folder] * own
            sure = own and reached == [event.folder]
        for name in reached:
            steps = self.steps.setdefault(name, [])
            steps.append(step)
            if self._is_late(steps, step):
                self.doubts.add(step.offset)
        if not sure:
            self.doubts.add(step.offset)

    def _current(self, name: str) -> _Group | None:
        judged = [group for group in self.groups(self.steps.get(name, [])) if not group.late]
        return judged[-1] if judged else None

    def _live(self, name: str) -> _Group | None:
        current = self._current(name)
        return None if current is None or current.deleted else current

    def _type(self, name: str) -> str:
        current = self._current(name)
        return "" if current is None else current.type

    def _stands_in(self, name: str, folder: str, deep: bool, asked: set[str]) -> bool:
        live = self._live(name)
        if live is None or name in asked or name == folder:
            return False
        is_folder = live.type == ItemType.FOLDER
        container = live.state.get("parent" if is_folder else "folder")
        if container == folder:
            return not is_folder or deep
        if not deep or not isinstance(container, str) or self._type(container) != ItemType.FOLDER:
            return False
        return self._stands_in(container, folder, deep, asked | {name})

    def _is_at(self, name: str, after: TransactionId | str | None) -> bool:
        if after == NEVER_SEEN:
            return not self.groups(self.steps.get(name, []))
        current = self._current(name)
        return current is not None and current.steps[-1].id == after

    def _is_late(self, steps: _Steps, step: _Step) -> bool:
        """Whether *step* stands behind a higher number of the same outbox in its item's *steps*."""
        for before in steps:
            if before is step:
                return False
            if (
                before is not None
                and before.id.source == step.id.source
                and before.id.incarnation == step.id.incarnation
                and before.id.sequence > step.id.sequence
            ):
                return True
        return False

    def groups(self, steps: _Steps) -> list[_Group]:
        """The item's states, by the rules in their order."""
        fenced: list[list[list[_Step]]] = [[]]
        previous: _Step | None = None
        for step in steps:
            if step is _FENCE:
                fenced.append([])
                previous = None
                continue
            if previous is not None and self._joins(previous, step):
                fenced[-1][-1].append(step)
            else:
                fenced[-1].append([step])
            previous = step
        groups: list[_Group] = []
        for chains in fenced:
            merged: list[tuple[list[_Step], _Step]] = []
            for chain in chains:
                fresh = [step for step in chain if self._first_of_its_kind(steps, step)]
                if not fresh:
                    continue
                if merged and self._joins(merged[-1][0][-1], fresh[0]):
                    merged[-1] = (merged[-1][0] + fresh, chain[-1])
                else:
                    merged.append((fresh, chain[-1]))
            for fresh, shown in merged:
                if shown.effect:
                    groups.append(self._judge(groups, steps, fresh, shown))
        return groups

    def _joins(self, before: _Step, after: _Step) -> bool:
        """The run rule."""
        a, b = before.event, after.event
        if before.alone or after.alone or not isinstance(a, Put) or not isinstance(b, Put):
            return False
        changes = (a.change is None) == (b.change is None) and (a.change or 0) <= (b.change or 0)
        return (
            a.digest == b.digest
            and (a.source, a.incarnation) == (b.source, b.incarnation)
            and a.sequence < b.sequence
            and changes
            and self._moment_ms > 0
            and before.time_ms // self._moment_ms == after.time_ms // self._moment_ms
        )

    def _first_of_its_kind(self, steps: _Steps, step: _Step) -> bool:
        for before in steps:
            if before is step:
                return True
            if before is None or before.id != step.id:
                continue
            if _same_content(before.event, step.event):
                return False
        raise AssertionError("a step is one of its item's")

    def _judge(
        self, groups: list[_Group], steps: _Steps, fresh: list[_Step], shown: _Step
    ) -> _Group:
        current = next((group for group in reversed(groups) if not group.late), None)
        changes = [
            number
            for group in groups
            if not group.late and (number := self._change(group.steps[-1])) is not None
        ]
        change = self._change(fresh[-1])
        falls = change is not None and bool(changes) and change < changes[-1]
        late = falls or self._is_late(steps, fresh[-1])
        start_ms = fresh[0].time_ms
        if not late and current is not None:
            start_ms = max(start_ms, current.start_ms)
        event = shown.event
        if isinstance(event, Put):
            return _Group(
                fresh, shown, late, start_ms, False, event.type, event.digest, event.state
            )
        # A delete shows what the item was before.
        kind, digest, state = (
            ("", None, {}) if current is None else (current.type, current.digest, current.state)
        )
        if not kind and isinstance(event, FolderDelete):
            kind = ItemType.FOLDER
        return _Group(fresh, shown, late, start_ms, True, kind, digest, state)

    def _change(self, step: _Step) -> int | None:
        """A many-item transaction's number is its own, not that of each item it reaches."""
        return step.event.change if isinstance(step.event, Put | Delete) else None

    def missing(self) -> set[tuple[str, str, int]]:
        came = {(step.id.source, step.id.incarnation, step.id.sequence) for step in self._came}
        return (
            {
                (source, incarnation, number)
                for source, incarnation, sequence in came
                for number in range(1, sequence)
            }
            - came
            - self._settled
        )

    def first_offset(self, id: TransactionId) -> int:
        return min(step.offset for step in self._came if step.id == id)


def _same_content(a: Transaction, b: Transaction) -> bool:
    """Whether two events of one id say the same; an honest re-send may change its place."""
    return type(a) is type(b) and _said(a) == _said(b)


def _said(event: Transaction) -> bytes:
    fields = msgspec.structs.asdict(event)
    for place in ("schema", "generation", "content", "type"):
        fields.pop(place, None)
    return msgspec.json.encode(fields)


def _show(groups: list[_Group], ignored_attributes: Collection[str]) -> list[ModelState]:
    shown: list[ModelState] = []
    for group in groups:
        state = {name: v for name, v in group.state.items() if name not in ignored_attributes}
        ids = tuple(step.id for step in group.steps)
        end_ms = group.start_ms if group.late else None
        new = ModelState(
            group.start_ms, end_ms, group.deleted, group.late, ids, group.type, group.digest, state
        )
        before = next((at for at in reversed(range(len(shown))) if not shown[at].late), None)
        if group.late or before is None:
            shown.append(new)
            continue
        old = shown[before]
        if _shown_json(old) == _shown_json(new):
            shown[before] = old._replace(transactions=old.transactions + ids)
            continue
        shown[before] = old._replace(end_ms=group.start_ms)
        shown.append(new)
    return shown


def _shown_json(state: ModelState) -> bytes:
    """What makes two neighbours one state, as JSON has it: 1, 1.0 and true are three values."""
    shown = (state.deleted, state.type, state.digest, state.state)
    return msgspec.json.encode(shown, order="sorted")
