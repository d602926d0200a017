"""Filing: sealed journal segments become lines in account logs, then a mark says how far.

A pure function of the union: filing again, by the same owner or the next, writes lines that readers
have already and drop. Runs in processes of its own, because it is more work than journalling.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import msgspec

from streambackup.domain.partition_event import PartitionEvent, PartitionEventKind
from streambackup.journal.line import clusters_and_holes, gap_events, place, records_in
from streambackup.journal.mark import FiledMark, farthest_mark, mark_files, write_mark
from streambackup.journal.payload import Records
from streambackup.journal.place import Place
from streambackup.journal.segment import EpochName, PartitionPath
from streambackup.journal.union import PlacedFrame, open_segments
from streambackup.metadata.account_log import (
    ACCOUNT_FILE,
    account_directory,
    encode_line,
    is_hashed,
)
from streambackup.realtime.coalesce import coalesce
from streambackup.realtime.compacting import NOTHING_COMPACTED, Compacted, compact
from streambackup.runtime.disk import AppendFile, Disk

GATHER_BYTES = 2 * 1024 * 1024
"""Of the journal, before an account's lines are appended: few writes, little memory."""
OPEN_LOGS_MAX = 512
"""Account logs that a filing keeps open, for the next lines of the same accounts."""

LOGS_MAX = 8
"""Of so many log files an account's logs are left."""

Describe = Callable[[tuple[str, ...]], None]


class FilingRequest(msgspec.Struct, frozen=True):
    """File a partition's union up to ``end``, which the requester has sealed.

    ``mark`` is what to say then, but for the count of records; ``where`` is the partition's place
    in its topic. Accounts that get more than ``logs_max`` log files are compacted.
    """

    root: Path
    topic: str
    where: Place
    epoch: int
    writer: str
    moment_ms: int
    mark: FiledMark
    logs_max: int = LOGS_MAX

    @property
    def path(self) -> PartitionPath:
        return PartitionPath(self.root, self.where.generation, self.topic, self.where.partition)

    @property
    def epoch_name(self) -> EpochName:
        return EpochName(self.epoch, self.writer)


class Filed(msgspec.Struct, frozen=True):
    """What was filed, ``joined`` and ``quarantined`` counting records. ``described`` are accounts
    whose own item changed: their ``account_info`` is stale. ``holes`` are gaps that nobody had
    recorded: the partition log has them now.
    """

    lines: int
    records: int
    joined: int
    quarantined: int
    accounts: int
    described: tuple[str, ...]
    holes: tuple[PartitionEvent, ...]
    compacted: Compacted = NOTHING_COMPACTED


class _Filing:
    """Records on their way into the logs, as lines sorted by account; never more than a bound in
    memory.
    """

    def __init__(self, request: FilingRequest, floor: int, disk: Disk) -> None:
        self._request = request
        self._floor = floor
        self._disk = disk
        self._records: list[Records] = []
        self._gathered_bytes = 0
        self._of_partition: list[PartitionEvent] = []
        self._paths: dict[str, Path] = {}
        self._open: dict[str, AppendFile] = {}
        self._written: set[Path] = set()
        self._described: set[str] = set()
        self._holes: list[PartitionEvent] = []
        self._count = Counter[str]()

    def add_hole(self, hole: PartitionEvent) -> None:
        """Take a gap that nobody recorded: from now on the partition log does."""
        self._holes.append(hole)
        self._of_partition.append(hole)

    def add(self, cluster: Sequence[PlacedFrame]) -> None:
        """Take what the frames of *cluster* hold at or behind the floor, and ahead of the end."""
        floor, end = self._floor, self._request.mark.filed_to
        self._records.append(records_in(cluster, floor, end))
        gaps = gap_events(cluster, self._request.where.partition, floor)
        self._of_partition += [gap for gap in gaps if gap.position.offset < end]
        self._gathered_bytes += sum(len(placed.frame.payload) for placed in cluster)
        if self._gathered_bytes >= GATHER_BYTES:
            self._append()

    def _coalesce(self) -> dict[str, list[bytes]]:
        """The lines of what was gathered, by account. What concerns the partition joins the rest of
        that, in order.
        """
        records = Records.joined(self._records)
        request = self._request
        coalesced = coalesce(records, where=request.where, moment_ms=request.moment_ms)
        self._of_partition = sorted([*self._of_partition, *coalesced.events], key=place)
        self._described |= coalesced.described
        quarantined = sum(e.kind is PartitionEventKind.QUARANTINE for e in coalesced.events)
        self._count.update(
            lines=sum(map(len, coalesced.lines.values())) + len(self._of_partition),
            records=len(records.offsets),
            joined=coalesced.joined,
            quarantined=quarantined,
        )
        self._records.clear()
        self._gathered_bytes = 0
        return coalesced.lines

    def _append(self) -> None:
        """Write what was gathered, once per account.

        The partition log comes first: a reader that finds a line finds the marker ahead of it too.
        """
        by_account = self._coalesce()
        if self._of_partition:
            name = f"{self._request.epoch_name}.partition.jsonl"
            partition_log = self._request.path.directory / name
            with closing(self._disk.append_lines(partition_log)) as file:
                file.write(b"".join(map(encode_line, self._of_partition)))
            self._written.add(partition_log)
            self._of_partition.clear()
        for account, lines in by_account.items():
            self._log_of(account).write(b"".join(lines))

    def _log_of(self, account: str) -> AppendFile:
        """The epoch's own log of *account*."""
        log = self._open.get(account)
        if log is None:
            path = self._paths.get(account)
            if path is None:
                path = self._paths[account] = self._log_path(account)
            if len(self._open) == OPEN_LOGS_MAX:
                self.close()
            log = self._open[account] = self._disk.append_lines(path)
        return log

    def finish(self) -> Filed:
        """Make all of it durable."""
        self._append()
        self._disk.sync_all(self._request.root, self._written)
        return Filed(
            accounts=len(self._paths),
            described=tuple(sorted(self._described)),
            holes=tuple(self._holes),
            lines=self._count["lines"],
            records=self._count["records"],
            joined=self._count["joined"],
            quarantined=self._count["quarantined"],
        )

    def directories(self) -> list[Path]:
        """Of the accounts that lines were filed of."""
        return [path.parent for path in self._paths.values()]

    def close(self) -> None:
        for log in self._open.values():
            log.close()
        self._open.clear()

    def _log_path(self, account: str) -> Path:
        """Of the log of *account*, in a directory that is there."""
        directory = account_directory(self._request.root, account)
        self._written.update(self._disk.make_directories(directory))
        if is_hashed(directory) and not (directory / ACCOUNT_FILE).exists():
            self._disk.replace(directory / ACCOUNT_FILE, account.encode())
        file = directory / f"{self._request.epoch_name}.jsonl"
        self._written.add(file)
        return file


def _describe_nothing(accounts: tuple[str, ...]) -> None:
    pass


def file_partition(
    request: FilingRequest, disk: Disk, describe: Describe = _describe_nothing
) -> Filed:
    """File everything from the farthest mark to the request's end; durable, and marked, on return.
    Then compact the logs of accounts that have too many.

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
    segments = open_segments(path, floor)
    end = request.mark.filed_to
    with closing(_Filing(request, floor, disk)) as filing:
        for hole, cluster in clusters_and_holes(path, segments, floor, [], end=end):
            if hole is not None:
                filing.add_hole(hole)
            filing.add(cluster)
        filed = filing.finish()
    describe(filed.described)
    mark = msgspec.structs.replace(request.mark, records=before.records + filed.records)
    write_mark(path, request.epoch_name, mark, disk)
    compacted = compact(
        path, request.epoch_name, filing.directories(), disk, logs_max=request.logs_max
    )
    return msgspec.structs.replace(filed, compacted=compacted)
