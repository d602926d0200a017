"""The union of what several epochs have of a partition."""

from __future__ import annotations

from pathlib import Path

import msgspec

from streambackup.domain.finding import Finding, FindingClass
from streambackup.domain.partition_event import PartitionEvent, PartitionEventKind
from streambackup.events.mailbox import MarkerKind
from streambackup.journal.cover import Cover, cover_of
from streambackup.journal.frame import FILE_MAGIC
from streambackup.journal.line import Line, clusters_and_holes, lines_of, place
from streambackup.journal.segment import EpochName, PartitionPath, SegmentName
from streambackup.journal.union import OpenedSegment, clusters, needed
from streambackup.testing.epochs import (
    PLACE,
    coalesced,
    elements_of,
    epoch_name,
    gap_segment,
    segment,
)
from streambackup.testing.events import (
    ACCOUNT,
    GENERATION,
    MOMENT_MS,
    TIME_MS,
    PartitionLog,
    marker,
    put,
)
from streambackup.testing.partition_store import TOPIC

LOG = PartitionLog([put("m", n, time_ms=TIME_MS + 1_000 * n, n=n) for n in range(1, 9)])
RUN = PartitionLog([put("m", n, n=n) for n in range(1, 9)])


def written(
    first: int, end: int, number: int, *cuts: int, log: PartitionLog = LOG
) -> OpenedSegment:
    return segment(log.records[first:end], set(cuts), epoch=epoch_name(number))


def told(*segments: OpenedSegment, floor: int = 0) -> list[list[int] | str]:
    """Each line's offsets, and each event's kind with what it covers."""
    return [
        element.offsets()
        if isinstance(element, Line)
        else f"{element.kind} {element.position.offset}-{element.end}"
        for element in elements_of(segments, floor)
    ]


def test_epochs_that_overlap_give_each_offset_once() -> None:
    assert told(written(0, 4, 1, 2), written(3, 8, 2, 5)) == [[n] for n in range(8)]


def test_a_line_loses_what_another_filing_had() -> None:
    """The entry with its last record is the next of its item, so the fold joins the run again."""
    (line,) = coalesced(RUN.records, MOMENT_MS)
    assert isinstance(line, Line)
    rest, same = line.without({0, 1, 7}), line.without({9})

    assert rest is not None
    assert (rest.offsets(), rest.offset) == ([2, 3, 4, 5, 6], None)
    assert same is line
    assert line.without(set(range(8))) is None


def test_frames_below_the_floor_are_left_out() -> None:
    segments = written(0, 4, 1, 2), written(3, 8, 2, 5)

    assert told(*segments, floor=5) == [[5], [6], [7]]
    assert told(*segments, floor=8) == []


def test_a_gap_shows_only_where_nobody_has_the_record() -> None:
    gap = gap_segment(2, 7, epoch=epoch_name(3))

    assert told(gap, written(0, 4, 1), written(6, 8, 2)) == [
        [0],
        [1],
        [2],
        [3],
        "gap 4-6",
        [6],
        [7],
    ]
    assert told(gap, written(0, 8, 1)) == [[n] for n in range(8)]
    assert told(gap, written(3, 4, 1)) == ["gap 2-3", [3], "gap 4-7"]
    assert told(gap, gap_segment(2, 7, epoch=epoch_name(4)), floor=3) == ["gap 3-7", "gap 3-7"]
    assert told(gap, gap_segment(3, 8, epoch=epoch_name(4)), written(4, 5, 1)) == [
        "gap 2-4",
        "gap 3-4",
        [4],
        "gap 5-7",
        "gap 5-8",
    ]


def test_what_is_no_event_is_a_quarantine_in_its_place() -> None:
    log = PartitionLog()
    for record in RUN.records:
        value = b"\xc1" if record.offset == 2 else record.value
        log.add_raw(record.key, value, record.timestamp)

    assert told(written(0, 3, 1, log=log), written(2, 5, 2, log=log)) == [
        [0],
        [1],
        "quarantine 2-3",
        [3],
        [4],
    ]


def test_the_cover_ends_where_frames_are_missing() -> None:
    segments = [written(0, 3, 1), written(5, 8, 2)]

    assert cover_of(segments, Cover()).end == 3
    assert cover_of([*segments, written(2, 6, 3)], Cover()).end == 8
    assert cover_of(segments, Cover(end=5)).end == 8


def test_what_the_journal_lost_is_a_gap(tmp_path: Path) -> None:
    path = PartitionPath(tmp_path, GENERATION, TOPIC, 0)
    segments = [written(1, 3, 1), written(5, 7, 2)]
    found = clusters_and_holes(path, segments, 0, [], end=8)
    holes = [(hole.position.offset, hole.end) for hole, _ in found if hole is not None]

    assert holes == [(0, 1), (3, 5), (7, 8)]
    found = clusters_and_holes(path, segments, 0, [])
    assert [hole and hole.end for hole, _ in found] == [1, 5]
    found = clusters_and_holes(path, segments, 0, [], end=5)
    assert [hole and hole.end for hole, _ in found] == [1, 5]


def test_damage_is_told_and_what_is_behind_it_read() -> None:
    whole = written(0, 6, 1, 2, 4)
    data = bytearray(bytes(whole.data[:]))
    data[len(FILE_MAGIC) + 60] ^= 1
    findings: list[Finding] = []
    found = list(clusters([whole._replace(data=bytes(data))], 0, findings))

    assert [placed.first for cluster in found for placed in cluster] == [2, 4]
    assert [finding.finding for finding in findings] == [FindingClass.DAMAGED_FRAME]


def test_a_torn_tail_is_a_fault_only_inside_an_epoch() -> None:
    """Another segment of the epoch behind it shows that its end was once whole."""
    whole = written(0, 6, 1)
    for is_last, finding in (
        (True, FindingClass.TORN_TAIL),
        (False, FindingClass.DAMAGED_FRAME),
    ):
        findings: list[Finding] = []
        torn = whole._replace(data=bytes(whole.data[:])[:-3], is_last=is_last)
        list(clusters([torn], 0, findings))

        assert [found.finding for found in findings] == [finding]


def test_segments_are_needed_from_the_one_that_holds_the_floor() -> None:
    a, b = EpochName(1, "a" * 16), EpochName(1, "b" * 16)
    names = [SegmentName(a, 0), SegmentName(a, 5), SegmentName(a, 9), SegmentName(b, 3)]

    assert needed(names, 0) == names
    assert needed(names, 5) == names[1:]
    assert needed(names, 8) == names[1:]
    assert needed(names, 9) == names[2:]
    assert needed(names, 99) == names[2:]


def test_a_marker_of_the_partition_is_an_event_and_one_of_an_account_a_line() -> None:
    log = PartitionLog([marker(account=None), marker()])
    event, line = elements_of([segment(log.records)])

    assert isinstance(event, PartitionEvent)
    assert event.kind is PartitionEventKind.MARKER
    assert isinstance(line, Line)


def test_whoever_asks_for_one_account_meets_every_marker_of_the_partition() -> None:
    """However JSON spells it: to the account's filed lines it belongs as well."""
    log = PartitionLog([put("m", 1)])
    switch = msgspec.json.encode(marker(MarkerKind.SWITCH, account=None))
    log.add_raw(None, switch.replace(b"marker", b"\\u006darker"))
    log.add(put("m", 2, account="other"))
    ((cluster,),) = [list(clusters([segment(log.records)], 0, []))]
    asked = [place(element) for element in lines_of(cluster, PLACE, 0, account=ACCOUNT)]

    assert asked == [0, 1]
