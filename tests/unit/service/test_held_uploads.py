"""Telling an upload that holds a partition from a worker that is only behind."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from streambackup.bus.port import Outgoing, Record, TopicPartition, TopicSpec
from streambackup.domain.digest import digest_of
from streambackup.events.blob import Chunk, Reference
from streambackup.events.codec import encode_event
from streambackup.events.mailbox import SCHEMA
from streambackup.runtime.clock import SystemClock
from streambackup.service.held_uploads import READ_RECORDS, HeldUpload, find_held_uploads
from streambackup.testing.memory_bus import MemoryBus

TP = TopicPartition("mailbox.blobs", 0)
DIGEST = digest_of(b"abcdef")


class CountingBus(MemoryBus):
    handed_out = 0

    async def read(
        self, partition: TopicPartition, offset: int, *, records_max: int
    ) -> Sequence[Record]:
        records = await super().read(partition, offset, records_max=records_max)
        self.handed_out += sum(len(record.value or b"") for record in records)
        return records


def chunk(upload: str, offset: int, data: bytes) -> bytes:
    return encode_event(
        Chunk(schema=SCHEMA, digest=DIGEST, upload=upload, offset=offset, total=6, data=data)
    )


BEGUN, ENDED = chunk("u1", 0, b"abc"), chunk("u1", 3, b"def")
OTHER = chunk("u2", 0, b"abcdef")
REFERENCE = encode_event(Reference(schema=SCHEMA, digest=DIGEST, size=6))


async def held(*values: bytes | None, position: int = 0) -> list[HeldUpload]:
    bus = MemoryBus(clock=SystemClock())
    await bus.create([TopicSpec(name=TP.topic, partitions=1, retention_ms=-1)])
    producer = await bus.producer()
    await producer.publish([Outgoing(TP.topic, DIGEST.encode(), value) for value in values])
    return [upload async for upload in find_held_uploads(bus, [(TP, position)])]


async def test_an_upload_without_its_end_is_named() -> None:
    assert await held(REFERENCE, BEGUN, OTHER, position=1) == [
        HeldUpload(partition=0, offset=1, digest=DIGEST, upload="u1", received=3, total=6)
    ]


@pytest.mark.parametrize(
    "values",
    [
        [BEGUN, OTHER, ENDED],
        [OTHER, BEGUN],
        [REFERENCE, BEGUN],
        [ENDED, BEGUN],
        [b"rubbish", BEGUN],
        [None, BEGUN],
        [],
    ],
)
async def test_whoever_is_only_behind_is_not_held(values: list[bytes | None]) -> None:
    assert await held(*values) == []


async def test_a_position_that_the_bus_has_lost_is_no_upload() -> None:
    assert await held(BEGUN, position=7) == []


async def test_one_look_reads_no_more_than_its_bytes_of_all_partitions_together() -> None:
    """Of those it does not come to, or only in part, nothing is said."""
    bus = CountingBus(clock=SystemClock())
    await bus.create([TopicSpec(name=TP.topic, partitions=9, retention_ms=-1)])
    producer = await bus.producer()
    partitions = [TopicPartition(TP.topic, number) for number in range(9)]
    values = [BEGUN] + [OTHER] * (2 * READ_RECORDS)
    for tp in partitions:
        await producer.publish(
            [Outgoing(tp.topic, DIGEST.encode(), value, tp.partition) for value in values]
        )
    bytes_max = len(b"".join(values)) * 3 // 2

    look = find_held_uploads(bus, [(tp, 0) for tp in partitions], bytes_max=bytes_max)
    found = [upload.partition async for upload in look]

    assert found == [0]
    assert bus.handed_out <= bytes_max + READ_RECORDS * len(OTHER)
