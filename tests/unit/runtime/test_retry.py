"""Trying again: bounded pauses, one line at the beginning and one at the end."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from streambackup.errors import BusError, StreamBackupError, TopicError
from streambackup.runtime.retry import LONGEST_PAUSE_S, keep_trying


class Flaky:
    def __init__(self, *errors: StreamBackupError) -> None:
        self.errors = list(errors)

    async def __call__(self) -> str:
        if self.errors:
            raise self.errors.pop(0)
        return "done"


class Pauses(list[float]):
    async def __call__(self, seconds: float) -> None:
        self.append(seconds)


def is_bus(error: StreamBackupError) -> bool:
    return type(error) is BusError


async def test_what_passes_is_tried_again_with_growing_bounded_pauses() -> None:
    pauses = Pauses()

    with capture_logs() as logs:
        result = await keep_trying(
            Flaky(*[BusError("away")] * 12), passing=is_bus, what="publish", pause=pauses
        )

    assert result == "done"
    assert len(pauses) == 12
    assert pauses[0] <= 0.1
    assert LONGEST_PAUSE_S / 2 <= pauses[-1] <= LONGEST_PAUSE_S
    assert [line["event"] for line in logs] == ["trying_again", "worked_again"]


async def test_what_succeeds_at_once_says_nothing() -> None:
    with capture_logs() as logs:
        assert await keep_trying(Flaky(), passing=is_bus, what="publish") == "done"

    assert logs == []


async def test_what_does_not_pass_is_raised_at_once() -> None:
    pauses = Pauses()

    with pytest.raises(TopicError):
        await keep_trying(
            Flaky(BusError("away"), TopicError("none")), passing=is_bus, what="x", pause=pauses
        )

    assert len(pauses) == 1
