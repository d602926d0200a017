"""Records as aiokafka's parser makes them, which have all that the port asks for.

aiokafka copies each into an object of eleven fields before it hands it out, and takes them one by
one; that is a third of what reading costs, and the copy most of a record's memory. It offers no
other way, so its classes are replaced by some that leave that out. The contract suite of the bus
tells when a release of aiokafka no longer works like this.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from aiokafka import TopicPartition, conn
from aiokafka.consumer import fetcher

from streambackup.bus.port import Record

ARRIVING_BYTES = 2 * 1024 * 1024


class LeanRecords(fetcher.PartitionRecords):
    """The records of one answer for one partition."""

    def _consumer_record(self, tp: TopicPartition, record: Any) -> Record:
        del tp
        return record  # type: ignore[no-any-return]

    def __iter__(self) -> Iterator[Record]:
        return self._records_iterator or iter(())


class LeanResult(fetcher.FetchResult):
    """One answer for one partition, until all of its records are taken."""

    def getall(self, max_records: int | None = None) -> list[Record]:
        wanted = self.check_assignment(self._topic_partition)  # type: ignore[no-untyped-call]
        if not wanted or self._partition_records is None:
            return []
        taken = list(islice(self._partition_records, max_records))
        self._update_position()  # type: ignore[no-untyped-call]
        if len(taken) != max_records:
            self._partition_records = None
        return taken


def hand_out_lean_records() -> None:
    """Make every consumer of this process do so, and take an answer off its connection without a
    pause at each 128 KiB.
    """
    conn.READER_LIMIT = ARRIVING_BYTES
    fetcher.PartitionRecords = LeanRecords  # type: ignore[misc]
    fetcher.FetchResult = LeanResult  # type: ignore[misc]
