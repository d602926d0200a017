"""The fold: entries of one account in stream order become the histories of its items.

A pure function of the stream: where batches ended, who wrote them and what was sent twice makes no
difference.
The steps and their order are those of docs/architecture.md, "The fold"; each has a test named for
the trace that
breaks any other order.
"""

from __future__ import annotations

from collections.abc import Iterable

from streambackup.domain.entry import MANY_ITEM, NEVER_SEEN, Entry, Member, Operation
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

    With *until*, the account as it was after that transaction; a run that holds it is folded to its
    end.
    """
    folding = AccountFold(account, moment_ms=moment_ms)
    for element in stream:
        folding.add(element, until)
        if folding.ended:
            break
    if until is not None and not folding.met:
        raise NotFoundError(
            f"account {account} has no transaction {until}",
            hint="'streambackup account history' lists its transactions.",
        )
    return folding.result(frozenset(ignored_attributes))


class AccountFold:
    """The fold of one account, fed one entry at a time."""

    def __init__(self, account: str, *, moment_ms: int) -> None:
        self._account = account
        self._moment_ms = moment_ms
        self._items: dict[str, ItemFold] = {}
        self._open: dict[str, Run] = {}
        self._folded: dict[TransactionId, set[int]] = {}
        self._sequences = Sequences()
        self._doubts: list[Doubt] = []
        self._findings: list[Finding] = []
        self.met = False
        self.ended = False

    def add(self, element: Entry | PartitionEvent, until: TransactionId | None = None) -> None:
        """Fold what comes next in the stream; once *until* was met, only what its runs still
        hold.
        """
        if isinstance(element, PartitionEvent):
            self._add_partition_event(element)
        elif element.plain_put or (element.operation is Operation.DELETE and element.after is None):
            self._add_to_item(element)
        else:
            self._fence()
            if not self.ended:
                self._add_fencing(element)
        if until is not None and not self.met and isinstance(element, Entry):
            self.met = any(member.id == until for member in element.members)

    def result(self, ignored_attributes: frozenset[str]) -> AccountHistory:
        """The histories as of what was added so far; adding may go on afterwards in a new
        fold only.
        """
        self._close_all()
        items = {}
        for name in sorted(self._items):
            states = self._items[name].history(ignored_attributes)
            if states:
                items[name] = ItemHistory(name, states)
        doubts = [*self._doubts, *self._sequences.doubts()]
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
            self._doubt(event.time_ms, f"a record is in quarantine: {event.reason}", event.position)
            return
        self._fence()
        if event.kind is PartitionEventKind.GAP:
            self._doubt(event.time_ms, f"the stream has a gap: {event.reason}", event.position)

    def _add_to_item(self, entry: Entry) -> None:
        run = self._open.get(entry.item)
        if run is not None and continues(
            run.entry, run.last, entry, entry.members[0], self._moment_ms
        ):
            run.extend(entry)
        elif self.met:
            self._close(entry.item)
        else:
            self._close(entry.item)
            self._open[entry.item] = Run(entry)

    def _fence(self) -> None:
        """End every run of the account."""
        self._close_all()
        for item in self._items.values():
            item.judge()
        self.ended = self.met

    def _close_all(self) -> None:
        for name in list(self._open):
            self._close(name)

    def _close(self, name: str) -> None:
        """A chain of neighbours is complete: drop what was folded before, hand the rest to
        the item.
        """
        run = self._open.pop(name, None)
        if run is None:
            return
        members = self._unfolded(run.entry, run.members)
        if members:
            item = self._item(name)
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
        elif self._holds(entry):
            item = self._item(entry.item)
            item.take(entry, members, self._note_late(item, entry, members))
            item.judge()
        else:
            self._item(entry.item).note_without_effect(members)

    def _holds(self, entry: Entry) -> bool:
        """Whether the precondition of a conditional transaction is true here."""
        item = self._items.get(entry.item)
        if entry.after == NEVER_SEEN:
            return item is None
        return item is not None and item.last_id == entry.after

    def _expand(self, entry: Entry, member: Member) -> None:
        """A many-item transaction becomes a delete of each item it reaches here."""
        if entry.operation is Operation.ACCOUNT_DELETE:
            if entry.after is not None and not self._account_is_at(entry.after):
                return
            reached = [name for name, item in self._items.items() if item.live]
            certain = all(self._items[name].type == "account" for name in reached)
        else:
            own = entry.operation is Operation.FOLDER_DELETE
            inside = self._inside(entry.item, deep=own or entry.recursive)
            reached = [*inside, entry.item] if own else inside
            certain = own and not inside
        for name in reached:
            self._item(name).delete(entry, member)
        if not certain:
            at = Position(entry.generation, entry.partition, member.offset)
            time_ms = clamp(member.time_ms, member.published_ms)
            self._doubt(time_ms, f"{entry.operation} does not say what it took away", at)

    def _account_is_at(self, after: TransactionId | str) -> bool:
        item = self._items.get(self._account)
        if after == NEVER_SEEN:
            return item is None
        return item is not None and item.last_id == after

    def _inside(self, folder: str, *, deep: bool) -> list[str]:
        """Live items that stand in *folder*, and where *deep*, those below its folders."""
        found: list[str] = []
        folders = [folder]
        seen = {folder}
        while folders:
            current = folders.pop()
            for name, item in self._items.items():
                if name in seen or not item.live or item.container != current:
                    continue
                seen.add(name)
                if item.type != "folder":
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
        """Those of *members* not folded before; an id seen with other content is kept and
        reported.
        """
        fresh = []
        for member in members:
            known = self._folded.get(member.id)
            if known is None:
                self._folded[member.id] = {member.checksum}
            elif member.checksum in known:
                continue
            else:
                known.add(member.checksum)
                self._report(entry, member, FindingClass.CONFLICTING_TRANSACTION)
            if clamp(member.time_ms, member.published_ms) != member.time_ms:
                self._report(entry, member, FindingClass.TIME_AHEAD)
            fresh.append(member)
            self._sequences.note(
                member.id,
                member.published_ms,
                Position(entry.generation, entry.partition, member.offset),
            )
        return fresh

    def _note_late(self, item: ItemFold, entry: Entry, members: list[Member]) -> set[Member]:
        late = item.late_of(members)
        for member in late:
            at = Position(entry.generation, entry.partition, member.offset)
            time_ms = clamp(member.time_ms, member.published_ms)
            self._doubt(time_ms, f"{member.id} came after later transactions of its item", at)
        return late

    def _doubt(self, since_ms: int, reason: str, position: Position) -> None:
        self._doubts.append(Doubt(since_ms, reason, position))

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
