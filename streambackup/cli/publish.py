"""``streambackup publish``"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from streambackup.cli.common import NOTHING_SAID, Common, given_path
from streambackup.cli.render import JsonArray, note, write_line
from streambackup.domain.words import counted
from streambackup.errors import IncompleteError, UsageError
from streambackup.runtime.clock import SystemClock
from streambackup.runtime.threads import iterate_in_thread
from streambackup.service.publisher import Published, open_publisher, read_lines
from streambackup.service.settings import Settings

STDIN = Path("-")


def publish(
    file: Annotated[
        Path,
        Parameter(
            help="JSON lines (docs/events.md); '-' or nothing is standard input.",
            converter=given_path,
        ),
    ] = STDIN,
    /,
    *,
    common: Common = NOTHING_SAID,
) -> None:
    """Publish JSON lines, each one change of an item. Files that they name hold its content."""
    settings = common.settings()
    common.start_logs(settings)
    answer = Answer(as_json=common.json)
    folder = Path.cwd() if file == STDIN else file.absolute().parent
    with _opened(file) as source:
        asyncio.run(_publish(settings, source, folder, answer))
    answer.end()


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[int]:
    with contextlib.ExitStack() as closing:
        try:
            source = sys.stdin.fileno() if file == STDIN else os.open(file, os.O_RDONLY)
            if file != STDIN:
                closing.callback(os.close, source)
            os.read(source, 0)  # A directory opens, and cannot be read.
        except OSError as error:
            raise UsageError(f"{file}: {error.strerror}", hint="'-' is standard input.") from error
        yield source


class Answer:
    """Tells what became of each line, as soon as it is known."""

    def __init__(self, *, as_json: bool) -> None:
        self._array = JsonArray() if as_json else None
        self._published = self._refused = 0

    def add(self, published: Published) -> None:
        if published.error is None:
            self._published += 1
        else:
            self._refused += 1
            note(f"line {published.line}: {published.error}")
        if self._array is not None:
            self._array.add(published)

    def end(self) -> None:
        """Close the answer. Raises IncompleteError where a line was refused."""
        if self._array is not None:
            self._array.end()
        else:
            write_line(f"{self._published} published, {self._refused} refused")
        if self._refused:
            raise IncompleteError(
                f"{counted(self._refused, 'line')} refused, {self._published} published",
                hint="Correct those lines and publish them again; the others are on the bus.",
            )


async def _publish(settings: Settings, source: int, folder: Path, answer: Answer) -> None:
    batches = read_lines(lambda size: os.read(source, size))
    async with open_publisher(settings, folder=folder, clock=SystemClock()) as publisher:
        async for batch in iterate_in_thread(batches):
            for published in await publisher.publish(batch):
                answer.add(published)
