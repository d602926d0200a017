"""Where a consumer of a local bus reads on."""

from __future__ import annotations

from streambackup.bus.embedded.blocks import StoredRecord
from streambackup.bus.local_consumer import Cursors
from streambackup.bus.port import TopicPartition
from streambackup.errors import PositionLostError

ZERO, ONE, TWO = (TopicPartition("t", number) for number in range(3))


def record(offset: int) -> StoredRecord:
    return StoredRecord(offset, b"k", b"v", 0)


def lost(offset: int) -> PositionLostError:
    return PositionLostError("t", 0, offset, begin=5, end=6)


def test_each_partition_is_first_in_its_turn() -> None:
    cursors = Cursors({ZERO: 0, ONE: 0, TWO: 0})
    assert {next(iter(cursors.wanted())) for _ in range(3)} == {ZERO, ONE, TWO}


def test_taking_moves_behind_the_last_record_whatever_the_holes() -> None:
    cursors = Cursors({ZERO: 3})
    assert list(cursors.take(cursors.wanted(), {ZERO: [record(4), record(9)]})) == [ZERO]
    assert cursors.wanted() == {ZERO: 10}


def test_what_was_moved_or_paused_meanwhile_is_not_handed_out() -> None:
    cursors = Cursors({ZERO: 0, ONE: 0})
    wanted = cursors.wanted()
    cursors.seek(ZERO, 7)
    cursors.pause([ONE])
    assert cursors.take(wanted, {ZERO: [record(0)], ONE: [record(0)]}) == {}
    cursors.resume([ONE])
    assert cursors.wanted() == {ZERO: 7, ONE: 0}


def test_a_lost_partition_is_left_alone_until_seek() -> None:
    cursors = Cursors({ZERO: 2, ONE: 0})
    assert cursors.lose(lost(2))
    assert cursors.wanted() == {ONE: 0}
    cursors.resume([ZERO])
    assert cursors.wanted() == {ONE: 0}
    cursors.seek(ZERO, 5)
    assert cursors.wanted() == {ZERO: 5, ONE: 0}


def test_a_loss_at_a_place_that_was_left_is_no_loss() -> None:
    cursors = Cursors({ZERO: 2})
    cursors.seek(ZERO, 5)
    assert not cursors.lose(lost(2))
    cursors.pause([ZERO])
    assert not cursors.lose(lost(5))
