"""Compaction: what a merged log holds, and which logs become one."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streambackup.domain.crc import crc32c
from streambackup.journal.line import Line
from streambackup.journal.segment import EpochName
from streambackup.metadata.account_log import (
    decode_lines,
    encode_line,
    is_merged,
    log_files,
    merged_name,
)
from streambackup.metadata.compaction import AT_ONCE, DamagedLogError, merged_lines, plan_merge
from streambackup.testing.epochs import elements_of, epoch_name, segment
from streambackup.testing.events import TIME_MS, PartitionLog, put

RECORDS = 12


def lines() -> list[bytes]:
    events = [
        put("m", n, time_ms=TIME_MS + 1_000 * n, subject="ü\n") for n in range(1, RECORDS + 1)
    ]
    elements = elements_of([segment(PartitionLog(events).records)])
    return [encode_line(element) for element in elements if isinstance(element, Line)]


LINES = lines()


def merged(*logs: bytes) -> bytes:
    return b"".join(merged_lines([io.BytesIO(log) for log in logs]))


def log_of(numbers: set[int]) -> bytes:
    return b"".join(LINES[number] for number in sorted(numbers))


@given(st.lists(st.sets(st.integers(0, RECORDS - 1)), max_size=6))
def test_a_merged_log_holds_every_line_once_in_order(logs: list[set[int]]) -> None:
    whole = merged(*map(log_of, logs))

    assert whole == log_of(set().union(*logs))
    assert merged(whole, *map(log_of, logs)) == whole


@given(st.lists(st.permutations(range(RECORDS)), min_size=1, max_size=4))
def test_logs_that_are_not_in_order_lose_nothing(logs: list[list[int]]) -> None:
    whole = merged(*(b"".join(LINES[number] for number in log) for log in logs))

    assert {*whole.splitlines()} == {line.rstrip(b"\n") for line in LINES}


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_a_torn_tail_is_left_out_but_a_line_that_lacks_only_its_end(cut: int) -> None:
    whole = merged(LINES[0], (LINES[1] + LINES[2])[:-cut])

    assert whole == LINES[0] + LINES[1] + (LINES[2] if cut == 1 else b"")


@pytest.mark.parametrize("damage", [b"{\n", b"\0\0\0\n", LINES[1][:-9] + b"0" * 6 + b'"}\n'])
def test_a_damaged_line_keeps_the_log_as_it_is(damage: bytes) -> None:
    with pytest.raises(DamagedLogError):
        merged(LINES[0], damage + LINES[2])


def test_what_only_a_newer_release_wrote_is_kept_with_the_line() -> None:
    """Lines are copied, not made anew."""
    body = LINES[0].split(b',"crc"')[0].replace(b'{"generation"', b'{"newer":[1],"generation"')
    line = body + b',"crc":"%08x"}\n' % crc32c(body + b"}")

    assert merged(LINES[1], line) == line + LINES[1]
    assert all(isinstance(found, Line) for found in decode_lines(line))


def plan(
    directory: Path, names: list[str], closed: set[int], logs_max: int = 2
) -> list[str] | None:
    for name in names:
        (directory / name).touch()
    partition = {epoch_name(number) for number in range(1, 100)}
    merge = plan_merge(
        directory,
        log_files(directory),
        partition=partition,
        closed={epoch_name(number) for number in closed},
        logs_max=logs_max,
    )
    return None if merge is None else [log.name for log in merge.logs]


def filed(number: int) -> str:
    return f"{epoch_name(number)}.jsonl"


def test_logs_of_closed_epochs_and_merged_ones_are_merged(tmp_path: Path) -> None:
    old = merged_name(epoch_name(5), hashlib.sha256(b"").hexdigest())
    assert is_merged(Path(old))

    assert plan(tmp_path, [filed(1), filed(2), old, filed(6)], {1, 2}) == [
        filed(1),
        filed(2),
        old,
    ]


def test_few_logs_and_those_of_other_partitions_are_left(tmp_path: Path) -> None:
    others = [f"{EpochName(number, 'f' * 16)}.jsonl" for number in (1, 2, 3)]

    assert plan(tmp_path, [filed(1), filed(2), *others], {1, 2}) is None
    assert plan(tmp_path, [filed(3)], {1, 2}) == [filed(1), filed(2)]
    assert plan(tmp_path, [], {1}) is None


def test_of_very_many_the_oldest_are_merged_first(tmp_path: Path) -> None:
    names = [filed(number) for number in range(1, 99)]

    assert plan(tmp_path, names, set(range(1, 98))) == names[:AT_ONCE]
