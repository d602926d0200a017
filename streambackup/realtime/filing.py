"""Filing: sealed journal segments become lines in account logs, then a mark says how far.

A pure function of the union: filing again, by the same owner or the next, writes lines that readers
have already and drop. Runs in a process of its own, because it is as much work as journalling.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import structlog

from streambackup.domain.entry import ItemType
from streambackup.domain.partition_event import PartitionEvent, PartitionEventKind
from streambackup.events.mailbox import AccountDelete, Delete, Put
from streambackup.journal.line import clusters_and_holes, lines_of, place
from streambackup.journal.mark import FiledMark, farthest_mark, mark_files, write_mark
from streambackup.journal.segment import EpochName, PartitionPath
from streambackup.journal.union import PlacedFrame, open_segments
from streambackup.metadata.account_log import (
    ACCOUNT_FILE,
    account_directory,
    encode_line,
    is_hashed,
)
from streambackup.runtime.disk import Disk

GATHER_BYTES = 4 * 1024 * 1024
"""Of the journal, before an account's lines are appended: few writes, little memory."""

Describe = Callable[[tuple[str, ...]], None]

log = structlog.get_logger()


class FilingRequest(msgspec.Struct, frozen=True):
    """File a partition's union up to ``end``, which the requester has sealed.

    ``mark`` is what to say then, but for the count of records.
    """

    root: Path
    generation: str
    topic: str
    partition: int
    epoch: int
    writer: str
    mark: FiledMark

    @property
    def path(self) -> PartitionPath:
        return PartitionPath(self.root, self.generation, self.topic, self.partition)

    @property
    def epoch_name(self) -> EpochName:
        return EpochName(self.epoch, self.writer)


class Filed(msgspec.Struct, frozen=True):
    """What was filed. ``described`` are accounts whose own item changed: their
    ``account_info`` is stale.
    """

    lines: int
    records: int
    accounts: int
    described: tuple[str, ...]


class _Filing:
    """Lines on their way into the logs: sorted by account, never more than a bound in memory."""

    def __init__(self, request: FilingRequest, disk: Disk) -> None:
        self._request = request
        self._disk = disk
        self._by_account: defaultdict[str, list[bytes]] = defaultdict(list)
        self._of_partition: list[bytes] = []
        self._gathered_bytes = 0
        self._written: set[Path] = set()
        self._accounts: set[str] = set()
        self._described: set[str] = set()
        self._lines = 0
        self._records = 0

    def add_hole(self, hole: PartitionEvent) -> None:
        """Take a gap that nobody recorded: from now on the partition log does."""
        log.error("gap", partition=str(self._request.path.directory), reason=hole.reason)
        self._of_partition.append(encode_line(hole))

    def add(self, cluster: Sequence[PlacedFrame], floor: int) -> None:
        """Take what the frames of *cluster* hold at or behind *floor*, and ahead of the end."""
        by_account = self._by_account
        elements = lines_of(cluster, self._request.partition, floor)
        end = self._request.mark.filed_to
        whole = all(floor <= placed.first and placed.next <= end for placed in cluster)
        if not whole:
            elements = [element for element in elements if place(element) < end]
        for element in elements:
            if isinstance(element, PartitionEvent):
                self._of_partition.append(encode_line(element))
                self._records += element.kind is not PartitionEventKind.GAP
                continue
            if whole:
                self._records += len(element.earlier) + (element.offset is not None)
            else:
                self._records += sum(floor <= offset < end for offset in element.offsets())
            event = element.event
            account = event.account
            assert account is not None
            by_account[account].append(encode_line(element))
            if type(event) is Put:
                if event.type is ItemType.ACCOUNT:
                    self._described.add(account)
            elif type(event) is AccountDelete or (type(event) is Delete and event.item == account):
                self._described.add(account)
        self._gathered_bytes += sum(len(placed.frame.payload) for placed in cluster)
        if self._gathered_bytes >= GATHER_BYTES:
            self._append()

    def _append(self) -> None:
        """Write what was gathered, once per account.

        The partition log comes first: a reader that finds a line finds the marker ahead of it too.
        """
        if self._of_partition:
            self._lines += len(self._of_partition)
            name = f"{self._request.epoch_name}.partition.jsonl"
            partition_log = self._request.path.directory / name
            self._disk.append_on_new_line(partition_log, b"".join(self._of_partition))
            self._written.add(partition_log)
        for account, lines in self._by_account.items():
            self._lines += len(lines)
            self._written.update(_append(self._request, account, lines, self._disk))
        self._accounts.update(self._by_account)
        self._by_account.clear()
        self._of_partition.clear()
        self._gathered_bytes = 0

    def finish(self) -> Filed:
        """Make all of it durable."""
        self._append()
        self._disk.sync_all(self._request.root, self._written)
        return Filed(
            self._lines, self._records, len(self._accounts), tuple(sorted(self._described))
        )


def _describe_nothing(accounts: tuple[str, ...]) -> None:
    pass


def file_partition(
    request: FilingRequest, disk: Disk, describe: Describe = _describe_nothing
) -> Filed:
    """File everything from the farthest mark to the request's end; durable, and marked, on return.

    Ahead of the mark *describe* is told whose ``account_info`` is stale: behind it nobody would
    know, if this ended in between.

    Raises:
        NoSpaceError: nothing is marked; what was written is written again by the next epoch's
        filing.
        StoreError: the same, and the process has to end.
    """
    path = request.path
    before = farthest_mark(path)
    if all(epoch != request.epoch_name for epoch, _ in mark_files(path)):
        # Whose logs these are can be told from now on, even if the filing never ends.
        write_mark(path, request.epoch_name, before, disk)
    floor = before.filed_to
    filing = _Filing(request, disk)
    segments = open_segments(path, floor)
    end = request.mark.filed_to
    for hole, cluster in clusters_and_holes(path, segments, floor, [], end=end):
        if hole is not None:
            filing.add_hole(hole)
        filing.add(cluster, floor)
    filed = filing.finish()
    describe(filed.described)
    mark = msgspec.structs.replace(request.mark, records=before.records + filed.records)
    write_mark(path, request.epoch_name, mark, disk)
    return filed


def _append(request: FilingRequest, account: str, lines: list[bytes], disk: Disk) -> list[Path]:
    """Append an account's lines to the epoch's own file;
    returns every path that has to be synced.
    """
    directory = account_directory(request.root, account)
    written = disk.make_directories(directory)
    if is_hashed(directory) and not (directory / ACCOUNT_FILE).exists():
        disk.replace(directory / ACCOUNT_FILE, account.encode())
    file = directory / f"{request.epoch_name}.jsonl"
    disk.append_on_new_line(file, b"".join(lines))
    written.append(file)
    return written
