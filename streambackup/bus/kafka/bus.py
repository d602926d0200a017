"""The bus port on Kafka."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from streambackup.bus.kafka.connection import KafkaSettings
from streambackup.bus.kafka.consumer import KafkaConsumer
from streambackup.bus.kafka.errors import kafka_errors
from streambackup.bus.kafka.fast_zstd import read_zstd_faster
from streambackup.bus.kafka.lean_records import hand_out_lean_records
from streambackup.bus.kafka.producer import KafkaProducer
from streambackup.bus.kafka.reader import (
    KafkaReader,
    new_consumer,
    stop_consumer,
)
from streambackup.bus.kafka.review import review
from streambackup.bus.kafka.topics import KafkaTopics, TopicFacts
from streambackup.bus.port import (
    Bounds,
    Ownership,
    Record,
    TopicDescription,
    TopicPartition,
    TopicSpec,
)
from streambackup.bus.topics import co_partitioned, newest
from streambackup.runtime.clock import Clock

SETTINGS_SHOWN = (
    "cleanup.policy",
    "retention.ms",
    "retention.bytes",
    "min.insync.replicas",
    "unclean.leader.election.enable",
    "max.message.bytes",
)


class KafkaBus:
    """Connects when first used. Producers and consumers have connections of their own."""

    def __init__(self, settings: KafkaSettings, *, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._topics = KafkaTopics(settings)
        self._reader = KafkaReader(settings)
        hand_out_lean_records()
        read_zstd_faster()

    async def producer(self) -> KafkaProducer:
        return KafkaProducer(self._settings, self._clock, self._topics)

    async def consumer(
        self, topics: Collection[str], *, group: str | None, ownership: Ownership
    ) -> KafkaConsumer:
        partitions = await self._partitions(topics)
        client = new_consumer(self._settings, group=group)
        consumer = KafkaConsumer(client, partitions=partitions, ownership=ownership)
        try:
            if group is None:
                await consumer.take_all(self._settings)
            else:
                await consumer.join(self._settings)
        except BaseException:
            await stop_consumer(client)
            raise
        return consumer

    async def bounds(self, topics: Collection[str]) -> dict[TopicPartition, Bounds]:
        facts = await self._topics.facts(topics)
        return await self._reader.bounds(_all_partitions({t: facts[t] for t in topics}))

    async def read(
        self, partition: TopicPartition, offset: int, *, records_max: int
    ) -> Sequence[Record]:
        await self._topics.facts([partition.topic])
        return await self._reader.read(partition, offset, records_max=records_max)

    async def latest(self, topic: str) -> dict[bytes, bytes]:
        partition = TopicPartition(topic, 0)
        begin, end = (await self.bounds([topic]))[partition]
        return newest(await self.read(partition, begin, records_max=max(end - begin, 1)))

    async def acknowledged(self, group: str) -> dict[TopicPartition, int]:
        return await self._topics.group_offsets(group)

    async def create(self, specs: Collection[TopicSpec]) -> list[str]:
        warnings = await self._topics.create(specs)
        await self.bounds([spec.name for spec in specs])  # only a leader at work answers that
        return warnings

    async def describe(self, specs: Collection[TopicSpec]) -> list[TopicDescription]:
        found = await self._topics.describe([spec.name for spec in specs])
        bounds = await self._reader.bounds(_all_partitions(found))
        return [
            _description(found[spec.name], spec, bounds) for spec in specs if spec.name in found
        ]

    async def _partitions(self, topics: Collection[str]) -> list[TopicPartition]:
        facts = await self._topics.facts(topics)
        return co_partitioned({topic: facts[topic].partitions for topic in topics})

    async def close(self) -> None:
        with kafka_errors("closing"):
            try:
                await self._reader.close()
            finally:
                await self._topics.close()


def _all_partitions(topics: Mapping[str, TopicFacts]) -> list[TopicPartition]:
    return [
        TopicPartition(topic, partition)
        for topic, facts in topics.items()
        for partition in range(facts.partitions)
    ]


def _description(
    facts: TopicFacts, spec: TopicSpec, bounds: Mapping[TopicPartition, Bounds]
) -> TopicDescription:
    found = review(facts, spec)
    return TopicDescription(
        name=spec.name,
        partitions=facts.partitions,
        replicas=facts.replicas,
        settings={name: facts.settings[name] for name in SETTINGS_SHOWN},
        bounds={n: bounds[TopicPartition(spec.name, n)] for n in range(facts.partitions)},
        drops_unread=not spec.compacted,
        warnings=found.warnings,
        faults=found.faults,
    )
