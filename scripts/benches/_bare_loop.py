"""``python -m benches._bare_loop ADDRESS TOPIC PARTITIONS RECORDS``: consume and do nothing else.

aiokafka's ``getmany`` with the settings of our own consumer, batches as large as ours, collector
and allocator set as in our service. Prints the seconds.
"""

from __future__ import annotations

import asyncio
import sys
import time

from aiokafka import TopicPartition

from streambackup.bus.kafka.connection import KafkaSettings
from streambackup.bus.kafka.reader import new_consumer
from streambackup.runtime.memory import settle_for_batches
from streambackup.service.settings import WorkerSettings


async def consume(address: str, topic: str, partitions: int, records: int) -> float:
    """Seconds from the assignment to the last record."""
    settings = WorkerSettings()
    consumer = new_consumer(KafkaSettings(bootstrap_servers=address), group=None)
    await consumer.start()
    try:
        assigned = [TopicPartition(topic, partition) for partition in range(partitions)]
        settle_for_batches()
        began = time.perf_counter()
        consumer.assign(assigned)
        await consumer.seek_to_beginning(*assigned)
        read = 0
        while read < records:
            found = await consumer.getmany(
                timeout_ms=settings.fetch_wait_ms, max_records=settings.batch_records_max
            )
            read += sum(map(len, found.values()))
        return time.perf_counter() - began
    finally:
        await consumer.stop()


if __name__ == "__main__":
    print(asyncio.run(consume(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))))
