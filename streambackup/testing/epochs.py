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
from streambackup.journal.line import Line, entry_of, lines_of
from streambackup.journal.payload import Gap, encode_payload, record_crc
from streambackup.journal.segment import EpochName, SegmentName
from streambackup.journal.union import OpenedSegment, clusters
from streambackup.realtime.coalesce import coalesce
from streambackup.realtime.place import Place
from streambackup.testing.events import ACCOUNT, GENERATION, MOMENT_MS


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
    moment_ms: int = MOMENT_MS,
) -> OpenedSegment:
    """One epoch's journal of consecutive *records*, a frame for each batch."""
    data = FILE_MAGIC
    for batch in batches(records, cuts):
        coalesced = coalesce(batch, place=Place(0, 1, GENERATION), moment_ms=moment_ms)
        assert coalesced.foreign is None
        last = LastRecord(
            record_crc(batch[-1].key, batch[-1].value, batch[-1].timestamp), batch[-1].timestamp
        )
        data += encode_frame(
            FrameKind.RECORDS,
            GENERATION,
            batch[0].offset,
            batch[-1].offset + 1,
            last,
            encode_payload(coalesced.records),
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
        for element in lines_of(cluster, 0, floor)
    ]


def stream_of(
    segments: Iterable[OpenedSegment], account: str = ACCOUNT
) -> list[Entry | PartitionEvent]:
    """What the fold takes of *account* from the union of *segments*."""
    stream: list[Entry | PartitionEvent] = []
    for element in elements_of(segments):
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
    """The histories of *account*, journalled in batches that *cuts* separate."""
    return fold(
        account,
        stream_of([segment(records, cuts, moment_ms=moment_ms)], account),
        moment_ms=moment_ms,
        ignored_attributes=ignored_attributes,
        until=until,
    )
