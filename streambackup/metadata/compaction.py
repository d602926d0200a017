"""Compaction: an account's log files as one, with every line that they hold once."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from streambackup.domain.entry import Member
from streambackup.journal.segment import EpochName
from streambackup.metadata.account_log import checked_body, is_merged

AT_ONCE = 64
"""So many logs are merged into one at most; where there are more, the oldest."""


class Merge(NamedTuple):
    """Logs of one account that one other can stand for."""

    directory: Path
    logs: tuple[Path, ...]


def plan_merge(
    directory: Path,
    logs: Sequence[tuple[EpochName, Path]],
    *,
    partition: Collection[EpochName],
    closed: Collection[EpochName],
    logs_max: int,
) -> Merge | None:
    """What to merge of an account's *logs*, where more than *logs_max* are of the epochs that filed
    in *partition*: those that will not grow by any line that counts. None where nothing can be.
    """
    own = [(epoch, log) for epoch, log in logs if epoch in partition]
    still = [log for epoch, log in own if epoch in closed or is_merged(log)]
    if len(own) <= logs_max or len(still) < 2:
        return None
    return Merge(directory, tuple(still[:AT_ONCE]))


class DamagedLogError(Exception):
    """A log holds a line that fails its check, and is kept as it is."""


class _Place(msgspec.Struct, frozen=True, gc=False):
    """Of a line, what orders it."""

    offset: int | None
    earlier: tuple[Member, ...] = ()

    @property
    def first(self) -> int:
        return self.earlier[0].offset if self.earlier or self.offset is None else self.offset


_decode_place = msgspec.json.Decoder(_Place).decode


def merged_lines(logs: Sequence[Iterable[bytes]]) -> Iterator[bytes]:
    """The lines of *logs*, each of one partition and in the order of offsets, as one such log; the
    same bytes at the same place are one line. A torn tail is left out.

    Raises:
        DamagedLogError: any other line fails its check, or this release cannot read it.
    """
    before = b""
    for _, row in heapq.merge(*map(_placed_rows, logs)):
        if row != before:
            yield row
        before = row


def _placed_rows(log: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    for row in log:
        line = row.removesuffix(b"\n")
        body = checked_body(line)
        if body is not None:
            yield _first(body), line + b"\n"
        elif line and line != row:
            raise DamagedLogError("a line fails its check")


def _first(body: bytes) -> int:
    try:
        return _decode_place(body).first
    except (msgspec.ValidationError, IndexError) as error:
        raise DamagedLogError(f"a line cannot be read: {error}") from error
