"""Trying again what is expected to work later."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from streambackup.errors import StreamBackupError

log = structlog.get_logger()

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 10.0

T = TypeVar("T")


async def keep_trying(
    call: Callable[[], Awaitable[T]],
    *,
    passing: Callable[[StreamBackupError], bool],
    what: str,
    pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> T:
    """What *call* returns, called again while it raises an error that is *passing*.

    Pauses double from 0.1 s to 10 s, each shortened at random so that many callers do not come at
    once. The first failure and the end of the trouble are logged, nothing between. Any other error
    is raised as it is.
    """
    pause_s = FIRST_PAUSE_S
    failures = 0
    while True:
        try:
            result = await call()
        except StreamBackupError as error:
            if not passing(error):
                raise
            if not failures:
                log.warning("trying_again", what=what, reason=error.message)
            failures += 1
        else:
            if failures:
                log.info("worked_again", what=what, failures=failures)
            return result
        await pause(pause_s * random.uniform(0.5, 1.0))
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
