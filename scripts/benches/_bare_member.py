"""``python -m benches._bare_member ADDRESS TOPIC``: a member of a group that only consumes.

aiokafka with the group settings of our own consumer; positions are what it committed. It prints a
line of JSON with its partitions when they are given to it, and one with the first record of each.
SIGTERM ends it as its library does.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import Collection

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor

from streambackup.bus.kafka.connection import KafkaSettings
from streambackup.service.settings import WorkerSettings

GROUP = "bare"


class Partitions(ConsumerRebalanceListener):
    """Tells what this member has, and what comes of it first."""

    def __init__(self) -> None:
        self._new: set[int] = set()

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        self._new.clear()

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        self._new = {tp.partition for tp in assigned}
        tell(assigned=sorted(self._new))

    def met(self, partitions: Collection[TopicPartition]) -> None:
        for partition in self._new.intersection(tp.partition for tp in partitions):
            tell(first_of=partition)
            self._new.discard(partition)


def tell(**what: object) -> None:
    print(json.dumps({**what, "at_ns": time.monotonic_ns()}), flush=True)


async def consume(address: str, topic: str) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    settings, worker = KafkaSettings(bootstrap_servers=address), WorkerSettings()
    consumer = AIOKafkaConsumer(
        bootstrap_servers=address,
        group_id=GROUP,
        partition_assignment_strategy=(RangePartitionAssignor,),
        session_timeout_ms=settings.session_timeout_ms,
        heartbeat_interval_ms=settings.heartbeat_interval_ms,
        rebalance_timeout_ms=settings.rebalance_timeout_ms,
        auto_offset_reset="latest",
    )
    partitions = Partitions()
    consumer.subscribe([topic], listener=partitions)
    await consumer.start()
    try:
        while not stop.is_set():
            found = await consumer.getmany(
                timeout_ms=worker.fetch_wait_ms, max_records=worker.batch_records_max
            )
            partitions.met(found)
    finally:
        await consumer.stop()


if __name__ == "__main__":
    asyncio.run(consume(sys.argv[1], sys.argv[2]))
