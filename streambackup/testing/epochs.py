"""Epochs in memory: records as a worker would journal them, read back as readers do."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from streambackup.bus.port import Record
from streambackup.domain.entry import Entry
from streambackup.domain.fold import fold
from streambackup.domain.history import AccountHistory
from streambackup.domain.partition_event import PartitionEvent
from streambackup.domain.transaction import TransactionId
from streambackup.journal.frame import (
    FILE_MAGIC,
    NO_RECORD,
    FrameKind,
    LastRecord,
    encode_frame,
)
from streambackup.journal.line import Line, entry_of, lines_of, place
from streambackup.journal.payload import Gap, Records, encode_payload, record_crc
from streambackup.journal.place import Place
from streambackup.journal.segment import EpochName, SegmentName
from streambackup.journal.union import OpenedSegment, clusters
from streambackup.metadata.account_log import decode_lines
from streambackup.realtime.coalesce import coalesce
from streambackup.testing.events import ACCOUNT, GENERATION, MOMENT_MS

PLACE = Place(0, 1, GENERATION)


def epoch_name(number: int, writer: int = 0) -> EpochName:
    return EpochName(number, f"{writer:016x}")


def batches(records: Sequence[Record], cuts: Collection[int]) -> list[Sequence[Record]]:
    """*records* cut ahead of each offset in *cuts*."""
    cut_at = [at for at, record in enumerate(records) if at and record.offset in cuts]
    edges = [0, *cut_at, len(records)]
    return [records[a:b] for a, b in itertools.pairwise(edges) if a < b]


def segment(
    records: Sequence[Record],
    cuts: Collection[int] = (),
    *,
    epoch: EpochName | None = None,
) -> OpenedSegment:
    """One epoch's journal of consecutive *records*, a frame for each batch."""
    data = FILE_MAGIC
    for batch in batches(records, cuts):
        last = LastRecord(
            record_crc(batch[-1].key, batch[-1].value, batch[-1].timestamp), batch[-1].timestamp
        )
        data += encode_frame(
            FrameKind.RECORDS,
            GENERATION,
            batch[0].offset,
            batch[-1].offset + 1,
            last,
            encode_payload(Records.of(batch)),
        )
    return _opened(data, records[0].offset if records else 0, epoch)


def gap_segment(
    first: int, end: int, *, epoch: EpochName | None = None, reason: str = "test"
) -> OpenedSegment:
    """An epoch that recorded nothing but a gap."""
    payload = encode_payload(Gap(reason, 0))
    frame = encode_frame(FrameKind.GAP, GENERATION, first, end, NO_RECORD, payload)
    return _opened(FILE_MAGIC + frame, first, epoch)


def _opened(data: bytes, first: int, epoch: EpochName | None) -> OpenedSegment:
    name = SegmentName(epoch or epoch_name(1), first)
    return OpenedSegment(GENERATION, name, Path(str(name)), data, is_last=True)


def elements_of(segments: Iterable[OpenedSegment], floor: int = 0) -> list[Line | PartitionEvent]:
    """What readers meet in the union of *segments*."""
    return [
        element
        for cluster in clusters(list(segments), floor, [])
        for element in lines_of(cluster, PLACE, floor)
    ]


def stream_of(
    segments: Iterable[OpenedSegment], account: str = ACCOUNT
) -> list[Entry | PartitionEvent]:
    """What the fold takes of *account* from the union of *segments*."""
    return taken_by_fold(elements_of(segments), account)


def coalesced(
    records: Sequence[Record], moment_ms: int, where: Place = PLACE
) -> list[Line | PartitionEvent]:
    """What filing makes of one batch, in stream order."""
    batch = coalesce(Records.of(records), where=where, moment_ms=moment_ms)
    lines = decode_lines(b"".join(itertools.chain.from_iterable(batch.lines.values())))
    return sorted([*(line for line in lines if isinstance(line, Line)), *batch.events], key=place)


def taken_by_fold(
    elements: Iterable[Line | PartitionEvent], account: str
) -> list[Entry | PartitionEvent]:
    stream: list[Entry | PartitionEvent] = []
    for element in elements:
        if isinstance(element, PartitionEvent):
            stream.append(element)
        elif element.account == account:
            stream.append(entry_of(element))
    return stream


def fold_records(
    records: Sequence[Record],
    cuts: Collection[int] = (),
    *,
    account: str = ACCOUNT,
    moment_ms: int = MOMENT_MS,
    ignored_attributes: Collection[str] = (),
    until: TransactionId | None = None,
) -> AccountHistory:
    """The histories of *account*, coalesced in batches that *cuts* separate."""
    elements = (
        element for batch in batches(records, cuts) for element in coalesced(batch, moment_ms)
    )
    return fold(
        account,
        taken_by_fold(elements, account),
        moment_ms=moment_ms,
        ignored_attributes=ignored_attributes,
        until=until,
    )
