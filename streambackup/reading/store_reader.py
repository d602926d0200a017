"""Reading a store back: accounts and their histories, whether a service works on it or not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import msgspec

from streambackup.bus.port import partition_of
from streambackup.domain.entry import Entry
from streambackup.domain.finding import Finding
from streambackup.domain.fold import fold
from streambackup.domain.history import AccountHistory
from streambackup.domain.partition_event import PartitionEvent, PartitionEventKind
from streambackup.domain.transaction import Position, TransactionId
from streambackup.errors import NotFoundError
from streambackup.events.mailbox import MarkerKind
from streambackup.events.topics import TRANSACTIONS
from streambackup.journal.life import LIFE_FILE, Life, lost_lives, read_lives
from streambackup.journal.line import Line, entry_of, place
from streambackup.journal.place import place_in
from streambackup.journal.segment import PartitionPath
from streambackup.metadata.account_log import (
    Unreadable,
    account_directory,
    decode_lines,
    list_accounts,
    note_unreadable,
    with_logs,
)
from streambackup.metadata.store_config import read_store_config
from streambackup.reading.lost_logs import partitions_without_logs
from streambackup.reading.partition_log import recognised
from streambackup.reading.tail import Tail


class StoreReader:
    """A view of a store that is never older than its first question; blocking.

    It holds the tail of one partition in each generation, the one asked for last: whoever asks for
    all accounts, in the order in which ``histories`` gives them, opens every tail once, and needs
    no more memory and no more open files for a longer backlog.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config = read_store_config(root)
        self._tails: dict[str, Tail] = {}
        self._lives: list[Life] | None = None

    @property
    def lives(self) -> list[Life]:
        """The generations, oldest first."""
        if self._lives is None:
            self._lives = read_lives(self.root)
        return self._lives

    def accounts(self) -> list[str]:
        """Every account that the store holds anything of."""
        found = set[str]()
        for life in self.lives:
            for partition in range(life.partitions):
                found.update(self._tail(life, partition).accounts())
        found.update(account for account, _ in list_accounts(self.root))
        return sorted(found)

    def histories(self) -> Iterator[AccountHistory]:
        """What ``examine`` says of every account, one partition's accounts after the other's."""
        by_partition = defaultdict[tuple[int, ...], list[str]](list)
        for account in self.accounts():
            by_partition[self._partitions_of(account)].append(account)
        for partitions in sorted(by_partition):
            yield from map(self.examine, by_partition[partitions])

    def history(self, account: str, *, until: TransactionId | None = None) -> AccountHistory:
        """The histories of *account*'s items; with *until*, as they were after that transaction.

        Raises:
            NotFoundError: the store knows no such account, or the account no such transaction.
        """
        history = self.examine(account, until=until)
        if not history.items and not history.doubts and account not in self.accounts():
            raise NotFoundError(
                f"the store has no account {account}",
                hint="'streambackup account list' shows the accounts.",
            )
        return history

    def examine(self, account: str, *, until: TransactionId | None = None) -> AccountHistory:
        """As ``history``, but for an account of which nothing readable is left,
        its findings alone.
        """
        findings: list[Finding] = []
        history = fold(
            account,
            self.stream(account, findings),
            moment_ms=self.config.moment_ms,
            ignored_attributes=self.config.ignored_attributes,
            until=until,
        )
        found = (*history.findings, *findings)
        return msgspec.structs.replace(history, findings=found)

    def stream(self, account: str, findings: list[Finding]) -> list[Entry | PartitionEvent]:
        """What the fold takes: the account's lines and its partitions' events, each offset once.

        The tails are opened before the account log is read: what is filed in between is met twice,
        never missed.
        """
        tails = {
            life.generation: self._tail(life, partition)
            for life, partition in zip(self.lives, self._partitions_of(account), strict=True)
        }
        filed = self._filed_lines(account, findings)
        stream = _gaps(self._lost_lives(filed.keys()) | self._lost_logs_of(account, filed.keys()))
        for life in self.lives:
            tail = tails[life.generation]
            elements: list[Line | PartitionEvent] = []
            seen = set[int]()
            for line in filed.get(life.generation, []):
                _add_unseen(line, seen, elements)
            events = {(e.position.offset, e.kind): e for e in tail.filed_events(account)}
            for element in tail.elements(account):
                if isinstance(element, Line):
                    _add_unseen(element, seen, elements)
                else:
                    events[element.position.offset, element.kind] = element
            elements += [recognised(e) for e in events.values() if _counts(e, account, seen)]
            elements.sort(key=place)
            stream += [entry_of(e) if isinstance(e, Line) else e for e in _until_end(elements)]
        return stream

    def doubts(self) -> list[str]:
        """Why the store may hold accounts, or states of all of them, that cannot be read."""
        return [*self._lost_lives().values(), *self._lost_logs.values()]

    def _lost_lives(self, named: Iterable[str] = ()) -> dict[Position, str]:
        """What cannot be read, because nothing tells the place of its generation; lines know of
        those *named*.
        """
        known = {life.generation for life in self.lives}
        lost = {directory.name for directory in lost_lives(self.root)}.union(named) - known
        return {
            Position(generation, 0, 0): f"the {LIFE_FILE} of generation {generation} is missing"
            for generation in sorted(lost)
        }

    @cached_property
    def _lost_logs(self) -> dict[Position, str]:
        """What cannot be read, because all account logs of its partition are gone."""
        return {
            Position(path.generation, path.partition, 0): "all account logs of partition "
            f"{path.partition} of generation {path.generation} are missing: "
            "'streambackup check' says how much they held"
            for path in partitions_without_logs(self.root, self.lives)
        }

    def _lost_logs_of(self, account: str, filed: Collection[str]) -> dict[Position, str]:
        """Those of where *account* lives; it has lines of the generations *filed*."""
        places = [
            Position(life.generation, partition, 0)
            for life, partition in zip(self.lives, self._partitions_of(account), strict=True)
            if life.generation not in filed
        ]
        return {at: self._lost_logs[at] for at in places if at in self._lost_logs}

    def _filed_lines(self, account: str, findings: list[Finding]) -> dict[str, list[Line]]:
        lines, found = with_logs(account_directory(self.root, account), _lines_by_generation)
        findings += found
        return lines

    def _partitions_of(self, account: str) -> tuple[int, ...]:
        """Where *account* lives in each generation, the oldest first."""
        key = account.encode()
        return tuple(partition_of(key, life.partitions) for life in self.lives)

    def _tail(self, life: Life, partition: int) -> Tail:
        held = self._tails.get(life.generation)
        if held is None or held.path.partition != partition:
            path = PartitionPath(self.root, life.generation, TRANSACTIONS, partition)
            held = self._tails[life.generation] = Tail(path, place_in(life, partition))
        return held


def _lines_by_generation(logs: Sequence[Path]) -> tuple[dict[str, list[Line]], list[Finding]]:
    lines = defaultdict[str, list[Line]](list)
    findings = []
    for file in logs:
        for line in decode_lines(file.read_bytes()):
            if isinstance(line, Unreadable):
                findings.append(note_unreadable(line, file))
            else:
                lines[line.generation].append(line)
    return lines, findings


def _gaps(reasons: Mapping[Position, str]) -> list[Entry | PartitionEvent]:
    """*reasons* as the fold takes them: what is missing may have been there at any time."""
    return [
        PartitionEvent(kind=PartitionEventKind.GAP, position=at, end=0, time_ms=0, reason=reason)
        for at, reason in reasons.items()
    ]


def _until_end(
    elements: Sequence[Line | PartitionEvent],
) -> Iterator[Line | PartitionEvent]:
    """The *elements* of a generation in their order; what came behind its end is set aside, since
    the next one may hold newer transactions already.
    """
    ended = False
    for element in elements:
        if isinstance(element, Line):
            yield _set_aside(element) if ended else element
        else:
            yield element
            ended |= element.reason == MarkerKind.GENERATION_END


def _set_aside(line: Line) -> PartitionEvent:
    return PartitionEvent(
        kind=PartitionEventKind.QUARANTINE,
        position=Position(line.generation, line.partition, line.first),
        end=max(line.offsets()) + 1,
        time_ms=line.published_ms,
        reason="it came behind the end of its generation: its producer did not follow",
        account=line.account,
    )


def _counts(event: PartitionEvent, account: str, seen: set[int]) -> bool:
    """Whether *event* concerns *account*; a quarantine does not where an epoch has the record."""
    aside = event.kind is PartitionEventKind.QUARANTINE and event.position.offset in seen
    return event.concerns(account) and not aside


def _add_unseen(line: Line, seen: set[int], elements: list[Line | PartitionEvent]) -> None:
    rest = line.without(seen)
    if rest is not None:
        seen.update(rest.offsets())
        elements.append(rest)
