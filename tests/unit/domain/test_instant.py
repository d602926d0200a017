"""Times as people write them."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streambackup.domain.instant import EXAMPLES, Instant, format_instant, parse_instant
from streambackup.errors import UsageError

NOW_MS = 1_795_269_802_123  # 2026-11-21T14:03:22.123Z
ROME = ZoneInfo("Europe/Rome")


def parse(text: str) -> Instant:
    return parse_instant(text, now_ms=NOW_MS, zone=ROME)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-21T14:03:22.123Z",
        "2026-11-21t14:03:22.123z",
        "2026-11-21 15:03:22.123+01:00",
        "2026-11-21 15:03:22.123 +0100",
        "2026-11-21T14:03:22,123456Z",
        "1795269802123",
        "now",
        " now ",
        "0s ago",
    ],
)
def test_one_instant_in_many_words(text: str) -> None:
    assert parse(text) == Instant(NOW_MS)


def test_without_a_zone_the_local_one_is_taken_and_named() -> None:
    assert parse("2026-11-21 15:03:22.123") == Instant(NOW_MS, "CET (+01:00)")
    assert parse("2026-07-01").zone == "CEST (+02:00)"


def test_the_machines_own_zone_is_the_default() -> None:
    assert parse_instant("2026-11-21", now_ms=NOW_MS).zone is not None


def test_before_now() -> None:
    assert parse("2h ago").time_ms == NOW_MS - 7_200_000
    assert parse("90 m ago").time_ms == NOW_MS - 5_400_000
    assert parse("999999999w ago").time_ms == 0


def test_a_day_begins_at_its_midnight_here() -> None:
    assert parse("today") == parse("2026-11-21")
    assert parse("yesterday") == parse("2026-11-20")


@pytest.mark.parametrize(
    "text",
    ["", "soon", "2026-13-01", "20261121", "0", "2026-11-21T25:00", "2026-11-21 14", "٣h ago"],
)  # fmt: skip
def test_an_unreadable_time_is_refused_with_examples(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert caught.value.hint is not None
    assert EXAMPLES in caught.value.hint


@pytest.mark.parametrize("text", ["1", "99999999999"])
def test_too_few_milliseconds_are_refused_with_their_bound(text: str) -> None:
    with pytest.raises(UsageError, match="not a time") as caught:
        parse(text)
    assert "12 to 16 digits" in (caught.value.hint or "")
    assert format_instant(parse("1" + "0" * 11).time_ms) == "1973-03-03T09:46:40.000Z"


def test_the_ends_of_the_calendar_are_no_accident() -> None:
    assert parse("0001-01-01T00:00:00+10:00").time_ms == 0
    assert parse("9999-12-31T23:59:59-10:00").time_ms == 253_402_336_799_000


def test_an_hour_that_the_clock_skipped_is_refused() -> None:
    with pytest.raises(UsageError, match="set forward"):
        parse("2026-03-29 02:30")


@given(st.integers(0, 2**53))
def test_what_is_printed_reads_back_as_itself(time_ms: int) -> None:
    text = format_instant(time_ms)
    if len(text) >= 12:
        assert parse(text) == Instant(time_ms)


@given(st.text(alphabet="0123456789-:TZ+ .,agohms", max_size=30))
def test_no_text_gets_anything_but_an_instant_or_a_refusal(text: str) -> None:
    try:
        found = parse(text)
    except UsageError:
        return
    assert found.time_ms >= 0
