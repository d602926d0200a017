"""What was set aside, as people ask for it: records that could not be used, and damaged files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from streambackup.domain.instant import format_instant
from streambackup.domain.origin import Origin
from streambackup.errors import NotFoundError
from streambackup.journal.life import read_lives
from streambackup.reading.set_aside import (
    MOVED_ASIDE,
    SetAside,
    moved_aside,
    set_aside_in,
    set_aside_records,
)

NS_PER_MS = 1_000_000


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """What to look for; all that is given must hold. Files are no account's."""

    account: str | None = None
    topic: Literal["mailbox.transactions", "mailbox.blobs"] | None = None
    since_ms: int | None = None

    def takes(self, topic: str, account: str | None, time_ms: int) -> bool:
        return (
            self.account in (None, account)
            and self.topic in (None, topic)
            and (self.since_ms is None or time_ms >= self.since_ms)
        )


class Aside(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that was set aside, without its bytes. ``id`` is a record's origin, or a file's
    path below ``quarantine``; ``when`` is the publish time of a record, and when a file was last
    written to; ``size`` is that of a record's value.
    """

    id: str
    kind: Literal["record", "file"]
    topic: str
    generation: str
    partition: int
    when: str
    size: int
    reason: str
    offset: int | None = None
    key: str | None = None
    account: str | None = None


def list_aside(root: Path, wanted: Filter) -> Iterator[Aside]:
    """Everything set aside that *wanted* takes, records first, as they are found."""
    yield from map(told, wanted_records(root, wanted))
    for path in moved_aside(root):
        file = _told_file(root, path)
        if file is not None and wanted.takes(file.topic, None, _written_ms(path)):
            yield file


def wanted_records(root: Path, wanted: Filter) -> Iterator[SetAside]:
    """The records among what ``list_aside`` lists, whole."""
    for record in set_aside_records(root):
        if wanted.takes(record.origin.topic, record.account, record.published_ms):
            yield record


def told(record: SetAside) -> Aside:
    """What a list says of *record*."""
    origin = record.origin
    return Aside(
        id=str(origin),
        kind="record",
        topic=origin.topic,
        generation=origin.generation,
        partition=origin.partition,
        offset=origin.offset,
        when=format_instant(record.published_ms),
        size=record.size,
        reason=record.reason,
        key=record.named,
        account=record.account,
    )


def find_record(root: Path, id: str) -> SetAside:
    """The record that was set aside under *id*.

    Raises:
        UsageError: it is no origin. NotFoundError: no such record was set aside.
    """
    origin = Origin.parse(id)
    for life in read_lives(root):
        if life.generation == origin.generation:
            for record in set_aside_in(root, life, origin.topic, origin.partition):
                if record.origin == origin:
                    return record
    raise NotFoundError(
        f"no record of {origin} was set aside",
        hint="'streambackup quarantine list' shows those that were.",
    )


def find_file(root: Path, id: str) -> tuple[Aside, Path] | None:
    """The damaged file that was moved aside under *id*; None where it names none."""
    for path in moved_aside(root):
        file = _told_file(root, path)
        if file is not None and file.id == id:
            return file, path
    return None


def _told_file(root: Path, path: Path) -> Aside | None:
    """A segment lies where it lay in the store; what else is there somebody else has put there."""
    relative = path.relative_to(root / MOVED_ASIDE)
    match relative.parts:
        case ("journal", generation, topic, partition, _) if partition.isdecimal():
            return Aside(
                id=str(relative),
                kind="file",
                topic=topic,
                generation=generation,
                partition=int(partition),
                when=format_instant(_written_ms(path)),
                size=path.stat().st_size,
                reason="a damaged segment, of which more may be in its bytes than could be filed",
            )
    return None


def _written_ms(path: Path) -> int:
    return path.stat().st_mtime_ns // NS_PER_MS
