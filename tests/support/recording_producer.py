"""A producer that keeps what it is given, and fails when it is told to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from streambackup.bus.port import Outgoing, Placed, partition_of
from streambackup.errors import BusError
from streambackup.events.blob import BlobEvent, Chunk
from streambackup.events.codec import decode_blob_event, decode_mailbox_event
from streambackup.events.mailbox import MailboxEvent

PARTITIONS = 4


class RecordingProducer:
    """Appends to a log in memory.

    Each of the next calls takes one of ``failures`` and raises it, None aside, after
    ``kept_of_failed`` of its records were kept all the same. ``calls`` has the bytes of every call
    that went well.
    """

    def __init__(self) -> None:
        self.log: list[tuple[Outgoing, Placed]] = []
        self.calls: list[int] = []
        self.failures: list[BusError | None] = []
        self.kept_of_failed = 0
        self._ends: Counter[tuple[str, int]] = Counter()

    async def publish(self, records: Sequence[Outgoing]) -> list[Placed]:
        failure = self.failures.pop(0) if self.failures else None
        if failure is not None:
            for record in records[: self.kept_of_failed]:
                self._append(record)
            raise failure
        self.calls.append(sum(len(record.value or b"") for record in records))
        return [self._append(record) for record in records]

    async def close(self) -> None:
        pass

    def _append(self, record: Outgoing) -> Placed:
        assert record.key is not None
        partition = partition_of(record.key, PARTITIONS)
        placed = Placed(partition, self._ends[record.topic, partition])
        self._ends[record.topic, partition] += 1
        self.log.append((record, placed))
        return placed

    def values(self, topic: str) -> list[bytes]:
        return [record.value for record, _ in self.log if record.topic == topic and record.value]

    def transactions(self) -> list[MailboxEvent]:
        """What was published to ``mailbox.transactions``, in order."""
        return [decode_mailbox_event(value) for value in self.values("mailbox.transactions")]

    def blob_events(self) -> list[BlobEvent]:
        return [decode_blob_event(value) for value in self.values("mailbox.blobs")]

    def contents(self) -> dict[str, bytes]:
        """The content of every upload that is whole, by digest."""
        uploads: dict[tuple[str, str], bytes] = {}
        whole = {}
        for event in self.blob_events():
            if isinstance(event, Chunk):
                held = uploads.setdefault((event.digest, event.upload), b"")
                assert len(held) == event.offset, (
                    "Chunks of an upload come in order, without holes."
                )
                uploads[event.digest, event.upload] = held = held + event.data
                if len(held) == event.total:
                    whole[event.digest] = held
        return whole
