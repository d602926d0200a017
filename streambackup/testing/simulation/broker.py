"""The broker of a simulated world: what every record was, and which generations it lists."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from streambackup.bus.port import Outgoing, Placed, TopicPartition, partition_of
from streambackup.bus.topics import newest as newest_values
from streambackup.errors import InvalidEventError
from streambackup.events.codec import decode_mailbox_event
from streambackup.events.config import CONFIG_TOPIC, Generation, generations_in
from streambackup.events.mailbox import Marker, MarkerKind
from streambackup.runtime.clock import Clock
from streambackup.testing.memory_bus import MemoryBus, MemoryRecord


class Broker(MemoryBus):
    """Remembers every record for the judges, also those that retention took."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock=clock)
        self.kept: defaultdict[TopicPartition, list[MemoryRecord]] = defaultdict(list)
        self._listed: list[Generation] = []
        self._listed_to = 0

    @property
    def generations(self) -> list[Generation]:
        """Those that are not only prepared, the oldest first."""
        partition = self._partitions[TopicPartition(CONFIG_TOPIC, 0)]
        if partition.end != self._listed_to:
            listed = generations_in(newest_values(partition.records))
            self._listed = [one for one in listed if one.state != "preparing"]
            self._listed_to = partition.end
        return self._listed

    @property
    def topics(self) -> list[str]:
        """Of all generations, without their inventories."""
        pairs = [(one.transactions_topic, one.blobs_topic) for one in self.generations]
        return [topic for pair in pairs for topic in pair]

    def publish(self, records: Sequence[Outgoing]) -> list[Placed]:
        places = super().publish(records)
        for record, at in zip(records, places, strict=True):
            tp = TopicPartition(record.topic, at.partition)
            self.kept[tp] += self._partitions[tp].read(tp, at.offset, 1)
        return places

    def acknowledged_now(self) -> Mapping[str, Mapping[TopicPartition, int]]:
        """What each group has acknowledged."""
        return self._acknowledged

    def refill(self, tp: TopicPartition, records: Sequence[MemoryRecord]) -> None:
        """Hold the same records as another broker."""
        partition = self._partitions[tp]
        partition.records, partition.end = list(records), len(records)
        self.kept[tp] = list(records)

    def stream_of(self, account: str, reach: Mapping[str, int] | None = None) -> list[MemoryRecord]:
        """The records of *account*'s partitions as they count, numbered through all generations:
        what stands behind an end is no event. With *reach*, those below such offsets.
        """
        stream: list[MemoryRecord] = []
        for one in self.generations:
            number = partition_of(account.encode(), one.partitions)
            records = self.kept[TopicPartition(one.transactions_topic, number)]
            if reach is not None:
                records = records[: reach.get(one.generation, 0)]
            first = len(stream)
            stream += [r._replace(offset=first + r.offset) for r in _until_end(records)]
        return stream


def _until_end(records: Sequence[MemoryRecord]) -> Iterator[MemoryRecord]:
    ended = False
    for record in records:
        yield record._replace(value=None) if ended else record
        ended = ended or is_end(record)


def is_end(record: MemoryRecord) -> bool:
    """Whether *record* ends its generation in its partition."""
    if record.key is not None:
        return False
    try:
        event = decode_mailbox_event(record.value)
    except InvalidEventError:
        return False
    return isinstance(event, Marker) and event.kind is MarkerKind.GENERATION_END
