"""An outbox, opened as often as a test likes, and the producer that all of them have."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from streambackup.outbox.outbox import Outbox
from streambackup.testing.fixed_stream import FixedStream
from tests.support.observations import OpenOutbox
from tests.support.recording_producer import RecordingProducer
from tests.support.watching import TOPICS


async def no_pause(_seconds: float) -> None:
    pass


@pytest.fixture
def producer() -> RecordingProducer:
    return RecordingProducer()


@pytest.fixture
def open_outbox(tmp_path: Path, producer: RecordingProducer) -> Iterator[OpenOutbox]:
    opened: list[Outbox] = []

    def opener(source: str = "mail", *, sole_writer: bool = True) -> Outbox:
        outbox = Outbox(
            tmp_path / "state",
            source,
            producer,
            stream=FixedStream(TOPICS),
            sole_writer=sole_writer,
            pause=no_pause,
        )
        opened.append(outbox)
        return outbox

    yield opener
    for outbox in opened:
        outbox.close()
