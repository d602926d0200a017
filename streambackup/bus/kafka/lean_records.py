"""Records as aiokafka's parser makes them, which have all that the port asks for.

aiokafka copies each into an object of eleven fields before it hands it out; that copy is a third of
what reading costs, and most of a record's memory. It offers no other way, so its class is replaced
by one that leaves the copy out. The contract suite of the bus tells when a release of aiokafka no
longer works like this.
"""

from __future__ import annotations

from typing import Any

from aiokafka import TopicPartition
from aiokafka.consumer import fetcher

from streambackup.bus.port import Record


class LeanRecords(fetcher.PartitionRecords):
    """The records of one answer for one partition."""

    def _consumer_record(self, tp: TopicPartition, record: Any) -> Record:
        del tp
        return record  # type: ignore[no-any-return]


def hand_out_lean_records() -> None:
    """Make every consumer of this process hand out records uncopied."""
    fetcher.PartitionRecords = LeanRecords  # type: ignore[misc]
