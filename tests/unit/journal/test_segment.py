"""Segments and marks: names, what a seal leaves, and what a full disk does."""

from __future__ import annotations

from pathlib import Path

import pytest

from streambackup.journal.cover import Cover, find_cover
from streambackup.journal.frame import FrameKind, LastRecord
from streambackup.journal.life import read_lives, write_life
from streambackup.journal.mark import FiledMark, farthest_mark, mark_files, read_mark, write_mark
from streambackup.journal.payload import Blobs, encode_payload
from streambackup.journal.segment import EpochName, SegmentName
from streambackup.runtime.disk import Disk
from streambackup.testing.events import TIME_MS, PartitionLog, put
from streambackup.testing.partition_store import PartitionStore, life

NOTHING = encode_payload(Blobs([], [], [], []))


@pytest.fixture
def store(tmp_path: Path) -> PartitionStore:
    return PartitionStore(tmp_path / "store")


@pytest.fixture
def log() -> PartitionLog:
    return PartitionLog([put("m", n, time_ms=TIME_MS + 1_000 * n) for n in range(1, 7)])


def test_names_sort_by_epoch_and_offset_and_come_back() -> None:
    names = [
        SegmentName(EpochName(number, "0123456789abcdef"), first)
        for number, first in ((2, 0), (2, 10**18), (10, 5))
    ]

    assert sorted(map(str, names)) == [str(name) for name in names]
    assert [SegmentName.parse(str(name)) for name in names] == names
    assert SegmentName.parse(f".{names[0]}.1.tmp") is None


def test_two_owners_of_one_number_share_no_name() -> None:
    assert EpochName.draw(3) != EpochName.draw(3)


def test_each_epoch_is_above_those_before_it(store: PartitionStore, log: PartitionLog) -> None:
    numbers = []
    for end in (1, 2, 3):
        owner = store.own()
        store.journal(owner, log.records[:end])
        store.file(owner)
        numbers.append(owner.epoch.number)
    for segment in store.path.segments():
        store.path.path_of(segment).unlink()

    assert numbers == [1, 2, 3]
    assert store.own().epoch.number == 4


def test_an_owner_without_append_leaves_nothing(store: PartitionStore) -> None:
    owner = store.own()

    assert owner.seal() is None
    assert not store.path.directory.exists()


def test_a_segment_that_covers_nothing_goes_on_after_a_seal(store: PartitionStore) -> None:
    """A blob journal whose position waits for an upload is sealed by age all the same."""
    owner = store.own()
    for _ in range(3):
        owner.append(FrameKind.BLOBS, NOTHING, 0, owner.last)
        owner.seal()
    owner.append(FrameKind.BLOBS, NOTHING, 4, LastRecord(1, 2))

    assert len(store.path.segments()) == 1
    assert store.own().position == 4


def test_the_cover_is_found_behind_an_opening_that_was_cut(
    store: PartitionStore, log: PartitionLog
) -> None:
    """The segment before it says where to go on, and which record to read again."""
    first = store.own()
    store.journal(first, log.records[:2], cuts={1})
    expected = (first.position, first.last)
    second = store.own()
    store.journal(second, log.records[:3])
    (_, cut) = store.path.segments()
    file = store.path.path_of(cut)
    for length in (0, 5, 30):
        file.write_bytes(file.read_bytes()[:length])
        cover = find_cover(store.path)

        assert (cover.end, cover.last) == expected


def test_an_old_segment_left_over_does_not_hide_what_was_filed(
    store: PartitionStore, log: PartitionLog
) -> None:
    old = store.own()
    store.journal(old, log.records[:2])
    new = store.own()
    store.journal(new, log.records)
    store.file(new)
    (_, filed) = store.path.segments()
    store.path.path_of(filed).unlink()

    assert store.own().position == 6
    assert find_cover(store.path).end == 2


def test_a_mark_is_whole_or_none(store: PartitionStore) -> None:
    epoch = EpochName.draw(1)
    mark = FiledMark(7, 123, 456, 789)
    store.path.directory.mkdir(parents=True)
    write_mark(store.path, epoch, mark, Disk())
    ((name, file),) = mark_files(store.path)
    found = read_mark(file)

    assert found is not None
    assert (name, found.filed_to, found.cover) == (epoch, 7, Cover(7, LastRecord(123, 456)))
    for damaged in (file.read_bytes().replace(b"7", b"8", 1), b"", b"{}"):
        file.write_bytes(damaged)
        assert read_mark(file) is None
    assert farthest_mark(store.path).filed_to == 0


def test_the_farthest_mark_counts_whoever_wrote_it(store: PartitionStore) -> None:
    store.path.directory.mkdir(parents=True)
    for number, filed_to in ((1, 9), (2, 4)):
        write_mark(store.path, EpochName.draw(number), FiledMark(filed_to, None, 0, 0), Disk())

    assert farthest_mark(store.path).filed_to == 9


def test_lives_are_numbered_in_the_order_they_came(tmp_path: Path) -> None:
    """Whatever number their topics gave them; noting one again changes nothing."""
    generations = ["f" * 16, "0" * 16, "8" * 16]
    for generation in [*generations, *generations]:
        write_life(tmp_path, life(generation), Disk())

    assert [one.generation for one in read_lives(tmp_path)] == generations
    assert [one.number for one in read_lives(tmp_path)] == [1, 2, 3]
    assert write_life(tmp_path, life("0" * 16, number=9), Disk()).number == 2
    assert write_life(tmp_path, life("7" * 16, number=9), Disk()).number == 9
