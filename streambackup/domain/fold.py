"""The fold: entries of one account in stream order become the histories of its items.

A pure function of the stream: where batches ended, who wrote them and what was sent twice makes no
difference. The steps and their order are those of docs/architecture.md, "The fold"; each has a test
named for the trace that breaks any other order.

Two things make it so. An entry stands at its first member's place and a chain of neighbours is
closed by the same record whatever the split, so chains are closed in one order. And an entry may
lack its last member's offset, when another epoch had that one: the entry that has it is then the
next of its item, and the run rule joins them again, so no state is shown that is not the chain's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from streambackup.domain.entry import (
    MANY_ITEM,
    NEVER_SEEN,
    Entry,
    ItemType,
    Member,
    Operation,
)
from streambackup.domain.finding import Finding, FindingClass
from streambackup.domain.history import AccountHistory, Doubt, ItemHistory
from streambackup.domain.item_fold import ItemFold, Run
from streambackup.domain.moment import clamp
from streambackup.domain.partition_event import PartitionEvent, PartitionEventKind
from streambackup.domain.run import continues
from streambackup.domain.sequences import Sequences
from streambackup.domain.transaction import Position, TransactionId
from streambackup.errors import NotFoundError

SCAN_DONE = "scan-done"
_PLAIN = frozenset({Operation.PUT, Operation.DELETE})
_WHAT = {
    FindingClass.CONFLICTING_TRANSACTION: "came again with other content; both are kept",
    FindingClass.TIME_AHEAD: "claims a time far ahead of its publication",
}


def fold(
    account: str,
    stream: Iterable[Entry | PartitionEvent],
    *,
    moment_ms: int,
    ignored_attributes: Iterable[str] = (),
    until: TransactionId | None = None,
) -> AccountHistory:
    """The histories that *stream* gives *account*.

    With *until*, the account as it was after that transaction: every item at the last state that
    had begun by then, which for a run still open there is the state at its end.

    Raises:
        NotFoundError: no entry of *stream* has the transaction *until*.
    """
    elements = list(stream)
    end = None if until is None else _first_place(account, elements, until)
    folding = AccountFold(account, moment_ms=moment_ms)
    for element in elements if end is None else _up_to(end, elements):
        folding.add(element)
    return folding.result(frozenset(ignored_attributes), end)


def _first_place(
    account: str, elements: Iterable[Entry | PartitionEvent], wanted: TransactionId
) -> Position:
    """Where *wanted* first stands in the stream, which need not be in the first entry with it."""
    places: dict[str, Position] = {}
    for entry in elements:
        if not isinstance(entry, Entry):
            continue
        for member in entry.members:
            if member.id == wanted:
                place = Position(entry.generation, entry.partition, member.offset)
                known = places.setdefault(entry.generation, place)
                if place.offset < known.offset:
                    places[entry.generation] = place
    if not places:
        raise NotFoundError(
            f"account {account} has no transaction {wanted}",
            hint="'streambackup item history' lists an item's transactions, "
            f"'streambackup account history {account}' the account's own.",
        )
    return next(iter(places.values()))


def _up_to(
    end: Position, elements: Iterable[Entry | PartitionEvent]
) -> Iterator[Entry | PartitionEvent]:
    """What has to be folded so that all runs open at *end* are complete: up to the next element
    that ends every run, as the next generation does.
    """
    reached = False
    for element in elements:
        place = _place(element)
        within = place.generation == end.generation
        reached = reached or within
        if (reached and not within) or (_is_behind(place, end) and _ends_runs(element)):
            return
        yield element


def _place(element: Entry | PartitionEvent) -> Position:
    if isinstance(element, PartitionEvent):
        return element.position
    return Position(element.generation, element.partition, element.offset)


def _is_behind(place: Position, end: Position) -> bool:
    return place.generation == end.generation and place.offset > end.offset


def _ends_runs(element: Entry | PartitionEvent) -> bool:
    """Whether no run of the account goes on behind *element*.

    A plain delete ends its item's only.
    """
    if isinstance(element, PartitionEvent):
        return element.kind is not PartitionEventKind.QUARANTINE
    return element.after is not None or element.operation not in _PLAIN


class AccountFold:
    """The fold of one account, fed one entry at a time."""

    def __init__(self, account: str, *, moment_ms: int) -> None:
        self._account = account
        self._moment_ms = moment_ms
        self._items: dict[str, ItemFold] = {}
        self._open: dict[str, Run] = {}
        self._unjudged: dict[str, ItemFold] = {}
        self._folded: dict[TransactionId, Member] = {}
        self._conflicting: set[tuple[TransactionId, int]] = set()
        self._sequences = Sequences()
        self._set_aside: dict[TransactionId, list[Doubt]] = {}
        self._doubts: list[Doubt] = []
        self._findings: list[Finding] = []
        self._generation: str | None = None

    def add(self, element: Entry | PartitionEvent) -> None:
        """Fold what comes next in the stream."""
        generation = _place(element).generation
        if generation != self._generation:
            self._generation = generation
            self._fence()
        if isinstance(element, PartitionEvent):
            self._add_partition_event(element)
        elif _ends_runs(element):
            self._fence()
            self._add_fencing(element)
        else:
            self._add_to_item(element)

    def result(
        self, ignored_attributes: frozenset[str], end: Position | None = None
    ) -> AccountHistory:
        """The histories as of what was added; with *end*, of what had begun by then.

        Adding may go on afterwards in a new fold only.
        """
        self._fence()
        items = {}
        for name in sorted(self._items):
            item = self._items[name]
            if end is not None:
                item.forget(lambda place: _is_behind(place, end))
            states = item.history(ignored_attributes)
            if states:
                items[name] = ItemHistory(name, states)
        doubts = [
            doubt
            for doubt in (*self._doubts, *self._sequences.doubts())
            if end is None or doubt.position is None or not _is_behind(doubt.position, end)
        ]
        return AccountHistory(
            account=self._account,
            items=items,
            doubts=tuple(doubts),
            findings=tuple(self._findings),
        )

    def _add_partition_event(self, event: PartitionEvent) -> None:
        if not event.concerns(self._account):
            return
        if event.kind is PartitionEventKind.QUARANTINE:
            self._add_set_aside(event)
            return
        self._fence()
        if event.kind is PartitionEventKind.GAP:
            self._doubt(event.time_ms, f"the stream has a gap: {event.reason}", event.position)

    def _add_set_aside(self, event: PartitionEvent) -> None:
        """Doubt the account, unless the record's transaction came otherwise: sent again by its
        source, or out of quarantine.
        """
        id = event.transaction
        if id is not None and id in self._folded:
            return
        reason = f"a record is in quarantine: {event.reason}"
        self._doubt(event.time_ms, reason, event.position)
        if id is not None:
            self._set_aside.setdefault(id, []).append(self._doubts[-1])

    def _add_to_item(self, entry: Entry) -> None:
        run = self._open.get(entry.item)
        if run is not None and continues(
            run.entry, run.last, entry, entry.members[0], self._moment_ms
        ):
            run.extend(entry)
        else:
            self._close(entry.item)
            self._open[entry.item] = Run(entry)

    def _fence(self) -> None:
        """End every run of the account."""
        self._close_all()
        for item in self._unjudged.values():
            item.judge()
        self._unjudged.clear()

    def _close_all(self) -> None:
        for name in list(self._open):
            self._close(name)

    def _close(self, name: str) -> None:
        """A chain of neighbours is complete: drop what was folded before,
        hand the rest to the item.
        """
        run = self._open.pop(name, None)
        if run is None:
            return
        members = self._unfolded(run.entry, run.members)
        if members:
            item = self._unjudged[name] = self._item(name)
            item.take(run.entry, members, self._note_late(item, run.entry, members))

    def _add_fencing(self, entry: Entry) -> None:
        if entry.operation is Operation.MARKER:
            if entry.marker == SCAN_DONE:
                self._doubts.clear()
                self._sequences.forgive()
            return
        members = self._unfolded(entry, list(entry.members))
        if not members:
            return
        if entry.operation in MANY_ITEM:
            self._expand(entry, members[0])
        elif self._is_at(entry.item, entry.after):
            item = self._item(entry.item)
            item.take(entry, members, self._note_late(item, entry, members))
            item.judge()
        else:
            self._item(entry.item).note_without_effect(members)

    def _is_at(self, name: str, after: TransactionId | str | None) -> bool:
        """Whether a precondition is true here: the item's last transaction,
        or that it was never seen.
        """
        item = self._items.get(name)
        if after == NEVER_SEEN:
            return item is None or not item.seen
        return item is not None and item.last_id == after

    def _expand(self, entry: Entry, member: Member) -> None:
        """A many-item transaction becomes a delete of each item it reaches here."""
        if entry.operation is Operation.ACCOUNT_DELETE:
            if entry.after is not None and not self._is_at(self._account, entry.after):
                return
            reached = [name for name, item in self._items.items() if item.live]
            certain = all(self._items[name].type == "account" for name in reached)
        else:
            own = entry.operation is Operation.FOLDER_DELETE
            inside = self._inside(entry.item, deep=own or entry.recursive)
            reached = [*inside, entry.item] if own else inside
            certain = own and not inside
        for name in reached:
            item = self._item(name)
            item.delete(entry, member, self._note_late(item, entry, [member]))
        if not certain:
            at = Position(entry.generation, entry.partition, member.offset)
            time_ms = clamp(member.time_ms, member.published_ms)
            self._doubt(time_ms, f"{entry.operation} does not say what it took away", at)

    def _inside(self, folder: str, *, deep: bool) -> list[str]:
        """Live items that stand in *folder*, and where *deep*, those below its folders."""
        holders: dict[str | None, list[str]] = {}
        for name, item in self._items.items():
            if item.live:
                holders.setdefault(item.container, []).append(name)
        found = []
        folders = [folder]
        seen = {folder}
        while folders:
            for name in holders.get(folders.pop(), ()):
                if name in seen:
                    continue
                seen.add(name)
                if self._items[name].type != ItemType.FOLDER:
                    found.append(name)
                elif deep:
                    found.append(name)
                    folders.append(name)
        return found

    def _item(self, name: str) -> ItemFold:
        item = self._items.get(name)
        if item is None:
            item = self._items[name] = ItemFold(self._moment_ms)
        return item

    def _unfolded(self, entry: Entry, members: list[Member]) -> list[Member]:
        """Those of *members* not folded before;
        an id seen with other content is kept and reported.
        """
        fresh = []
        for member in members:
            known = self._folded.setdefault(member.id, member)
            if known is not member:
                conflict = (member.id, member.checksum)
                if member.checksum == known.checksum or conflict in self._conflicting:
                    continue
                self._conflicting.add(conflict)
                self._report(entry, member, FindingClass.CONFLICTING_TRANSACTION)
            if clamp(member.time_ms, member.published_ms) != member.time_ms:
                self._report(entry, member, FindingClass.TIME_AHEAD)
            fresh.append(member)
            self._settle(member.id)
            self._sequences.note(
                member.id,
                member.published_ms,
                Position(entry.generation, entry.partition, member.offset),
            )
        return fresh

    def _settle(self, id: TransactionId) -> None:
        """Let the doubts end that the record of *id* left behind when it was set aside."""
        for doubt in self._set_aside.get(id, ()):
            if doubt in self._doubts:
                self._doubts.remove(doubt)

    def _note_late(self, item: ItemFold, entry: Entry, members: list[Member]) -> set[Member]:
        late = item.late_of(members)
        for member in late:
            if member.id in self._set_aside:
                continue  # Its true place in the stream is known: where it was set aside.
            at = Position(entry.generation, entry.partition, member.offset)
            time_ms = clamp(member.time_ms, member.published_ms)
            self._doubt(time_ms, f"{member.id} came after later transactions of its item", at)
        return late

    def _doubt(self, since_ms: int, reason: str, position: Position) -> None:
        doubt = Doubt(since_ms, reason, position)
        if doubt not in self._doubts[-1:]:  # One transaction may come late for many items.
            self._doubts.append(doubt)

    def _report(self, entry: Entry, member: Member, finding: FindingClass) -> None:
        self._findings.append(
            Finding(
                finding=finding,
                what=f"{member.id} {_WHAT[finding]}",
                account=self._account,
                item=entry.item or None,
                offset=member.offset,
            )
        )
