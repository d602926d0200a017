"""What a broker sends is checked before it is handed out, batch by batch."""

from __future__ import annotations

import pytest
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from streambackup.bus.kafka.lean_records import CheckedBatches


def batch(*values: bytes) -> bytes:
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=False,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1_000_000,
    )
    for offset, value in enumerate(values):
        builder.append(offset, timestamp=1, key=None, value=value, headers=[])
    return bytes(builder.build())


def test_batches_that_hold_are_handed_out_one_after_the_other() -> None:
    batches = CheckedBatches(batch(b"one", b"two") + batch(b"three"))
    found = []
    while batches.has_next():
        found.append([record.value for record in batches.next_batch()])

    assert found == [[b"one", b"two"], [b"three"]]


def test_a_changed_byte_is_found_in_whichever_batch_it_is() -> None:
    first, second = batch(b"one", b"two"), batch(b"three")
    batches = CheckedBatches(first + second.replace(b"three", b"thxee"))
    batches.next_batch()

    with pytest.raises(CorruptRecordException, match="CRC of the batch at 0"):
        batches.next_batch()
    with pytest.raises(CorruptRecordException):
        CheckedBatches(first.replace(b"one", b"xne") + second).next_batch()
