"""Records as aiokafka's parser makes them, which have all that the port asks for.

aiokafka copies each into an object of eleven fields before it hands it out, takes them one by one,
and computes checksums in software; that is half of what reading costs, and the copy most of a
record's memory. It offers no other way, so its classes are replaced by some that leave that out.
The contract suite of the bus tells when a release of aiokafka no longer works like this.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

from aiokafka import conn
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.memory_records import MemoryRecords

from streambackup.bus.port import Record
from streambackup.domain.crc import crc32c

ARRIVING_BYTES = 2 * 1024 * 1024
_LENGTH, _CHECKED_FROM = slice(8, 12), 21
"""Of a batch: where the length of the rest is, and in format 2 where what is checked begins."""


class CheckedBatches:
    """The batches of one answer for one partition; none is handed out unless its checksum holds."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self._batches = MemoryRecords(data)
        self._at = 0

    def size_in_bytes(self) -> int:
        return self._batches.size_in_bytes()

    def has_next(self) -> bool:
        return self._batches.has_next()

    def next_batch(self) -> Any:
        batch: Any = self._batches.next_batch()
        rest = self._data[self._at :]
        end = _LENGTH.stop + int.from_bytes(rest[_LENGTH])
        self._at += end
        if batch.magic < 2:
            holds = batch.validate_crc()
        else:
            holds = crc32c(rest[_CHECKED_FROM:end].tobytes()) == batch.crc
        if not holds:
            raise CorruptRecordException(f"Invalid CRC of the batch at {batch.base_offset}")
        return batch


class LeanRecords(fetcher.PartitionRecords):
    """The records of one answer for one partition."""

    _records: CheckedBatches

    def _unpack_records(self) -> Iterator[Record]:
        return chain.from_iterable(self._unpack_batches())

    def _unpack_batches(self) -> Iterator[Iterable[Record]]:
        while self._records.has_next():
            batch = self._records.next_batch()
            wanted = self.next_fetch_offset
            if self._is_withheld(batch):
                pass
            elif batch.base_offset >= wanted:
                yield batch
            else:
                yield (record for record in batch if record.offset >= wanted)
            self.next_fetch_offset = batch.next_offset

    def _is_withheld(self, batch: Any) -> bool:
        """Whether it is Kafka's own, or of a transaction that its producer gave up."""
        if self._isolation_level == fetcher.READ_COMMITTED and batch.producer_id is not None:
            self._consume_aborted_up_to(batch.base_offset)  # type: ignore[no-untyped-call]
            if batch.is_control_batch and self._contains_abort_marker(batch):  # type: ignore[no-untyped-call]
                self._aborted_producers.discard(batch.producer_id)
            if batch.is_transactional and batch.producer_id in self._aborted_producers:
                return True
        return bool(batch.is_control_batch)

    def take(self, max_records: int | None) -> list[Record]:
        taken = list(islice(self._records_iterator or (), max_records))
        if taken:
            self.next_fetch_offset = max(self.next_fetch_offset, taken[-1].offset + 1)
        return taken


class LeanResult(fetcher.FetchResult):
    """One answer for one partition, until all of its records are taken."""

    def getall(self, max_records: int | None = None) -> list[Record]:
        wanted = self.check_assignment(self._topic_partition)  # type: ignore[no-untyped-call]
        if not wanted or self._partition_records is None:
            return []
        taken: list[Record] = self._partition_records.take(max_records)
        self._update_position()  # type: ignore[no-untyped-call]
        if len(taken) != max_records:
            self._partition_records = None
        return taken


def hand_out_lean_records() -> None:
    """Make every consumer of this process do so, and take an answer off its connection without a
    pause at each 128 KiB.
    """
    conn.READER_LIMIT = ARRIVING_BYTES
    fetcher.MemoryRecords = CheckedBatches  # type: ignore[attr-defined]
    fetcher.PartitionRecords = LeanRecords  # type: ignore[misc]
    fetcher.FetchResult = LeanResult  # type: ignore[misc]
