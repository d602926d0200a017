"""What a partition was before its topic was made anew: its last records wait there to be filed."""

from __future__ import annotations

from streambackup.journal.cover import cover_and_segments, highest_epoch
from streambackup.journal.life import Life, read_lives
from streambackup.journal.mark import FiledMark, farthest_mark, mark_files
from streambackup.journal.place import place_in
from streambackup.journal.segment import EpochName, PartitionPath
from streambackup.reading.account_info import write_account_infos
from streambackup.realtime.filing import FilingRequest, file_partition
from streambackup.runtime.disk import Disk


def ended_lives(path: PartitionPath) -> list[Life]:
    """The lives that the partition was in before that of *path*. One in other topics, or of another
    number of partitions, is no topic made anew: its partitions have owners of their own.
    """
    lives = read_lives(path.root)
    now = next((life for life in lives if life.generation == path.generation), None)
    return [
        life
        for life in lives
        if now is not None and life.number < now.number and _topics(life) == _topics(now)
        if path._replace(generation=life.generation).directory.is_dir()
    ]


def _topics(life: Life) -> tuple[str, str, int]:
    return life.transactions_topic, life.blobs_topic, life.partitions


def file_ended(path: PartitionPath, *, moment_ms: int, now_ms: int, disk: Disk) -> None:
    """File whatever the lives before that of *path* have journalled and not filed. Doing it again
    does nothing. Blocking.

    Raises:
        NoSpaceError: nothing is marked; do it again. StoreError: the process has to end.
    """
    for life in ended_lives(path):
        ended = path._replace(generation=life.generation)
        file_rest(ended, life, moment_ms=moment_ms, now_ms=now_ms, disk=disk)


def file_rest(path: PartitionPath, life: Life, *, moment_ms: int, now_ms: int, disk: Disk) -> None:
    """File whatever *path*, a partition of *life* without an owner, has journalled and not filed,
    as ``file_ended`` does. Blocking.

    Raises what ``file_ended`` does.
    """
    before = farthest_mark(path)
    cover, _ = cover_and_segments(path, before.cover)
    if cover.end <= before.filed_to:
        return
    marked = max((epoch.number for epoch, _ in mark_files(path)), default=0)
    epoch = EpochName.draw(max(highest_epoch(path), marked) + 1)
    mark = FiledMark(cover.end, cover.last.crc, cover.last.published_ms, now_ms)
    where = place_in(life, path.partition)
    request = FilingRequest(path.root, path.topic, where, *epoch, moment_ms, mark)

    def describe(accounts: tuple[str, ...]) -> None:
        write_account_infos(path.root, accounts, disk)

    file_partition(request, disk, describe)
