"""Tests that need a real part are skipped or failed where it is absent, never silently passed."""

from __future__ import annotations

import pytest

from tests.real_parts import KAFKA, RealParts, run


def without(name: str, *, required: bool) -> RealParts:
    parts = RealParts(required=frozenset({name} if required else ()), may_start=False)
    parts.absent[name] = "no room here"
    return parts


def test_what_is_not_required_is_skipped_and_reported() -> None:
    parts = without("strace", required=False)

    for _ in range(2):
        with pytest.raises(pytest.skip.Exception, match="no room here"):
            parts.check("strace")

    assert parts.report() == ["NOT PROVEN: 2 tests went without strace (no room here)"]


def test_what_is_required_fails_the_test() -> None:
    parts = without(KAFKA, required=True)

    with pytest.raises(pytest.fail.Exception, match="kafka is required: no room here"):
        parts.check(KAFKA)


def test_what_is_there_is_not_mentioned() -> None:
    parts = RealParts(required=frozenset({KAFKA}), may_start=False)

    parts.check(KAFKA)

    assert parts.report() == []


def test_a_part_that_nobody_knows_cannot_be_required() -> None:
    with pytest.raises(pytest.UsageError, match="kafak is not one of kafka, kafka-secure, mbsync"):
        RealParts(required=frozenset({"kafak"}), may_start=False)


def test_the_reason_is_the_last_line_of_either_output() -> None:
    ran = run(["bash", "-c", "echo fetching; echo 'services: no space' >&2; exit 1"])

    assert (ran.succeeded, ran.last_line) == (False, "services: no space")
