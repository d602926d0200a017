"""What people are told: the right number of things, and what they may have meant."""

from __future__ import annotations

from streambackup.domain.words import counted, did_you_mean


def test_one_thing_is_not_called_many() -> None:
    assert [counted(count, "item") for count in (0, 1, 2)] == ["0 items", "1 item", "2 items"]


def test_the_nearest_word_is_found_among_many_that_cannot_be_it() -> None:
    words = [*("x" * 40 for _ in range(10_000)), "Work/2025", "Work/2026"]

    assert did_you_mean("wrok/2026", words) == "Did you mean 'Work/2026'?"
    assert did_you_mean("Home", words) is None
