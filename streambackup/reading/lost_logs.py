"""Logs that are gone altogether: a mark counts what was filed of a partition, and no account has a
log of it.

Looked for because it is cheap. The check alone counts lines, so it alone misses the end of a log.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from streambackup.bus.port import partition_of
from streambackup.domain.partition_event import PartitionEventKind
from streambackup.events.topics import TRANSACTIONS
from streambackup.journal.life import Life
from streambackup.journal.mark import farthest_mark, marked_epochs
from streambackup.journal.segment import EpochName, PartitionPath
from streambackup.metadata.account_log import list_accounts, log_files
from streambackup.reading.partition_log import filed_events


def partitions_without_logs(root: Path, lives: Sequence[Life]) -> list[PartitionPath]:
    """The partitions whose account logs are gone; blocking.

    It looks into accounts' directories until each partition was met, not into logs.
    """
    # The marks first: what they count was in the logs before they were written.
    unmet = [_epochs_with_lines(root, life) for life in lives]
    for account, directory in list_accounts(root):
        if not any(unmet):
            break
        logs = {epoch for epoch, _ in log_files(directory)}
        for life, epochs in zip(lives, unmet, strict=True):
            path = _path(root, life, partition_of(account.encode(), life.partitions))
            if not logs.isdisjoint(epochs.get(path, ())):
                del epochs[path]
    return [path for epochs in unmet for path in epochs]


def _epochs_with_lines(root: Path, life: Life) -> dict[PartitionPath, set[EpochName]]:
    """The partitions of which lines were filed, and the epochs that may have filed them."""
    paths = (_path(root, life, number) for number in range(life.partitions))
    return {path: marked_epochs(path) for path in paths if _lines_were_filed(path)}


def _path(root: Path, life: Life, partition: int) -> PartitionPath:
    return PartitionPath(root, life.generation, TRANSACTIONS, partition)


def _lines_were_filed(path: PartitionPath) -> bool:
    """Whether the mark counts more than the partition log holds."""
    mark = farthest_mark(path)
    if not mark.records:
        return False
    events = {
        event.position.offset
        for event in filed_events(path)
        if event.kind is not PartitionEventKind.GAP and event.position.offset < mark.filed_to
    }
    return mark.records > len(events)
