"""Filing: sealed journal segments become lines in account logs, then a mark says how far.

A pure function of the union: filing again, by the same owner or the next, writes lines that readers
have already
and drop. Runs in a process of its own, because it is as much work as journalling.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from streambackup.domain.entry import ItemType
from streambackup.domain.finding import Finding
from streambackup.domain.partition_event import PartitionEvent
from streambackup.events.mailbox import Put
from streambackup.journal.line import Line, lines_of
from streambackup.journal.mark import FiledMark, farthest_mark, write_mark
from streambackup.journal.segment import EpochName, PartitionPath
from streambackup.journal.union import clusters, open_segments
from streambackup.metadata.account_log import (
    ACCOUNT_FILE,
    account_directory,
    encode_line,
    is_hashed,
)
from streambackup.runtime.disk import Disk


class FilingRequest(msgspec.Struct, frozen=True):
    """File a partition's union up to ``end``, which the requester has sealed. ``mark`` is
    what to say then.
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
    accounts: int
    described: tuple[str, ...]


class _Sorted:
    """Encoded lines, by account, and those of the partition itself."""

    def __init__(self) -> None:
        self.by_account: dict[str, list[bytes]] = {}
        self.of_partition: list[bytes] = []
        self.described: set[str] = set()
        self.lines = 0

    def add(self, element: Line | PartitionEvent) -> None:
        self.lines += 1
        if isinstance(element, PartitionEvent):
            self.of_partition.append(encode_line(element))
            return
        event = element.event
        account = element.account
        lines = self.by_account.get(account)
        if lines is None:
            lines = self.by_account[account] = []
        lines.append(encode_line(element))
        if type(event) is Put and event.type is ItemType.ACCOUNT:
            self.described.add(account)


def file_partition(request: FilingRequest, disk: Disk) -> Filed:
    """File everything from the farthest mark to the request's end; durable, and marked, on return.

    Raises:
        NoSpaceError: nothing is marked; what was written is written again by the next epoch's
        filing.
        StoreError: the same, and the process has to end.
    """
    path = request.path
    floor = farthest_mark(path).filed_to
    end = request.mark.filed_to
    findings: list[Finding] = []
    found = _Sorted()
    for cluster in clusters(open_segments(path, floor), floor, findings):
        if cluster[0].first >= end:
            break
        for element in lines_of(cluster, path.partition, floor):
            found.add(element)
    written = [
        path_
        for account, lines in found.by_account.items()
        for path_ in _append(request, account, lines, disk)
    ]
    if found.of_partition:
        partition_log = path.directory / f"{request.epoch_name}.partition.jsonl"
        disk.append_on_new_line(partition_log, b"".join(found.of_partition))
        written.append(partition_log)
    disk.sync_all(request.root, written)
    write_mark(path, request.epoch_name, request.mark, disk)
    return Filed(found.lines, len(found.by_account), tuple(sorted(found.described)))


def _append(request: FilingRequest, account: str, lines: list[bytes], disk: Disk) -> list[Path]:
    """Append an account's lines to the epoch's own file; returns every path that has to be
    synced.
    """
    directory = account_directory(request.root, account)
    written = disk.make_directories(directory)
    if is_hashed(directory) and not (directory / ACCOUNT_FILE).exists():
        disk.replace(directory / ACCOUNT_FILE, account.encode())
    file = directory / f"{request.epoch_name}.jsonl"
    disk.append_on_new_line(file, b"".join(lines))
    written.append(file)
    return written
