"""How long the bus keeps what is not safe yet."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streambackup.domain.headroom import HOUR_MS, Retention, Unsafe, headroom_hours

NOW_MS = 1_750_000_000_000
DAY_H = 24
FOR_EVER = Retention(None, None)


def unsafe(*, hours_ago: float, records: int = 100, record_bytes: int = 1000) -> Unsafe:
    return Unsafe(records, record_bytes, NOW_MS - int(hours_ago * HOUR_MS))


def test_what_is_kept_for_ever_has_no_end() -> None:
    assert headroom_hours(FOR_EVER, unsafe(hours_ago=1000), NOW_MS) is None


@pytest.mark.parametrize(("age", "left"), [(0, 48.0), (1, 47.0), (47.5, 0.5), (48, 0), (90, 0)])
def test_by_age_the_oldest_record_counts(age: float, left: float) -> None:
    kept = Retention(48 * HOUR_MS, None)

    assert headroom_hours(kept, unsafe(hours_ago=age), NOW_MS) == left


def test_by_size_the_pace_counts_at_which_records_came() -> None:
    """100,000 bytes in two hours, and room for 400,000 more: eight hours."""
    kept = Retention(None, 500_000)

    assert headroom_hours(kept, unsafe(hours_ago=2), NOW_MS) == pytest.approx(8.0)


def test_more_than_there_is_room_for_is_going_now() -> None:
    assert headroom_hours(Retention(None, 50_000), unsafe(hours_ago=2), NOW_MS) == 0.0


def test_the_nearer_limit_counts() -> None:
    kept = Retention(3 * HOUR_MS, 500_000)

    assert headroom_hours(kept, unsafe(hours_ago=2), NOW_MS) == 1.0


@given(
    age_ms=st.none() | st.integers(0, 10**12),
    size=st.none() | st.integers(0, 10**15),
    records=st.integers(1, 10**12),
    record_bytes=st.integers(0, 10**7),
    oldest_ms=st.integers(0, 2 * NOW_MS),
)
def test_it_is_never_below_nothing_nor_above_the_age(
    age_ms: int | None, size: int | None, records: int, record_bytes: int, oldest_ms: int
) -> None:
    """Whatever a clock or a sample says."""
    unsafe = Unsafe(records, record_bytes, oldest_ms)
    hours = headroom_hours(Retention(age_ms, size), unsafe, NOW_MS)

    assert (hours is None) == (age_ms is None and size is None)
    assert hours is None or (hours >= 0 and math.isfinite(hours))
    if hours is not None and age_ms is not None:
        assert hours <= max(age_ms + oldest_ms - NOW_MS, 0) / HOUR_MS
