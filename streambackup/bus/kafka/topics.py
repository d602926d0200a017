"""Topics on Kafka: what they are, making them, and where groups stand."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, NamedTuple, TypeVar

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    LeaderNotAvailableError,
    NoError,
    NotControllerError,
    NotCoordinatorForGroupError,
    NotLeaderForPartitionError,
    TopicAlreadyExistsError,
    for_code,
)

from streambackup.bus.kafka.connection import (
    KafkaSettings,
    close_connections,
    connection,
    start_client,
)
from streambackup.bus.kafka.errors import FORBIDDEN, kafka_errors, missing_right
from streambackup.bus.port import TopicPartition, TopicSpec
from streambackup.bus.topics import check_name, check_partitions, missing_topic

REPLICAS = 3
MIN_IN_SYNC = 2
SETTLE_LIMIT_S = 30.0  # until new topics have leaders and a fresh cluster its coordinator
SETTLE_PAUSE_S = 0.05
UNKNOWN_TOPIC = 3
SET_ON_TOPIC = 1  # the source of a setting that the topic has of its own

_UNSETTLED = (  # passing states of a cluster that starts or elects; not that it is away
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    LeaderNotAvailableError,
    NotControllerError,
    NotCoordinatorForGroupError,
    NotLeaderForPartitionError,
)

T = TypeVar("T")


class TopicFacts(NamedTuple):
    """A topic as the cluster describes it.

    ``led`` says whether each partition had a leader, ``own`` names the settings of its own.
    """

    partitions: int
    replicas: int
    led: bool
    batch_bytes_max: int
    settings: Mapping[str, str]
    own: frozenset[str]


class KafkaTopics:
    """Asks and orders through one admin client, connected when first needed."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._starting = asyncio.Lock()
        self._client: AIOKafkaAdminClient | None = None
        self._known: dict[str, TopicFacts] = {}

    async def facts(self, topics: Collection[str]) -> Mapping[str, TopicFacts]:
        """What is known of *topics*; asked once, since a topic never changes its partitions.

        Raises:
            TopicError: one does not exist.
        """
        known = {topic: self._known[topic] for topic in topics if topic in self._known}
        unknown = [topic for topic in topics if topic not in known]
        if unknown:
            found = await self.describe(unknown)
            self._known |= found
            known |= found
        for topic in topics:
            if topic not in known:
                raise missing_topic(topic)
        return known

    def forget(self) -> None:
        """Ask again: something went wrong, and topics may not be what they were."""
        self._known.clear()

    async def describe(self, topics: Collection[str]) -> dict[str, TopicFacts]:
        """Those of *topics* that exist."""
        with kafka_errors("asking for topics"):
            client = await self._started()
            names = [check_name(topic) for topic in topics]
            return await _settled(lambda: _described(client, names))

    async def create(self, specs: Collection[TopicSpec]) -> list[str]:
        """As ``Bus.create``, except that a new leader may not have begun its work on return."""
        names = [check_name(spec.name) for spec in specs]
        existing = await self.describe(names)
        missing = [spec for spec in specs if spec.name not in existing]
        warnings: list[str] = []
        with kafka_errors("creating topics"):
            client = await self._started()
            if missing:
                brokers = len((await client.describe_cluster())["brokers"])
                warnings = few_brokers(brokers)
                await _create(client, missing, replicated=not warnings)
            found = await _settled(lambda: _all_led(client, names))
        self._known |= found
        for spec in specs:
            partitions = found[spec.name].partitions
            check_partitions(spec.name, found=partitions, wanted=spec.partitions)
        return warnings

    async def group_offsets(self, group: str) -> dict[TopicPartition, int]:
        with kafka_errors(f"asking for group {group}", needs=f"Describe group {group}"):
            client = await self._started()
            found = await _settled(lambda: client.list_consumer_group_offsets(group))
        return {TopicPartition(*tp): committed.offset for tp, committed in found.items()}

    async def _started(self) -> AIOKafkaAdminClient:
        async with self._starting:
            if self._client is None:
                client = AIOKafkaAdminClient(**connection(self._settings))
                try:
                    await start_client(client, self._settings)
                except BaseException:
                    await client.close()
                    raise
                self._client = client
            return self._client

    async def close(self) -> None:
        if self._client is not None:
            await close_connections(self._client._client)


def few_brokers(brokers: int) -> list[str]:
    """The warning for a cluster too small for the replicas that topics should have."""
    if brokers >= REPLICAS:
        return []
    return [
        f"the cluster has {brokers} broker{'s' * (brokers > 1)}: new topics have one replica,"
        f" not {REPLICAS}, and a lost disk loses them"
    ]


def settings_of(spec: TopicSpec, *, replicated: bool) -> dict[str, str]:
    """The settings that a new topic gets."""
    return {
        "cleanup.policy": "compact" if spec.compacted else "delete",
        "retention.ms": str(spec.retention_ms),
        "min.insync.replicas": str(MIN_IN_SYNC if replicated else 1),
        "unclean.leader.election.enable": "false",
    }


async def _create(
    client: AIOKafkaAdminClient, specs: Collection[TopicSpec], *, replicated: bool
) -> None:
    answer: Any = await client.create_topics(
        [
            NewTopic(
                spec.name,
                spec.partitions,
                REPLICAS if replicated else 1,
                topic_configs=settings_of(spec, replicated=replicated),
            )
            for spec in specs
        ]
    )
    for topic, code, message in answer.topic_errors:
        error = for_code(code)
        if error in FORBIDDEN:
            raise missing_right(f"Create {topic}")
        if error not in (NoError, TopicAlreadyExistsError):  # another process was faster
            raise error(message)


async def _described(client: AIOKafkaAdminClient, topics: list[str]) -> dict[str, TopicFacts]:
    """Those of *topics* that exist. Two brokers may answer, of which one does not know them yet."""
    listed = await _partitions(client, topics)
    settings = await _settings(client, list(listed))
    return {topic: _facts(listed[topic], found) for topic, found in settings.items()}


async def _partitions(client: AIOKafkaAdminClient, topics: list[str]) -> dict[str, list[Any]]:
    """The partitions of those topics that exist, in the order asked for: brokers have their own,
    and a right that is missing shall be the same one each time.
    """
    found = {}
    answer = await client.describe_topics(topics)
    for topic in sorted(answer, key=lambda topic: topics.index(topic["topic"])):
        if topic["error_code"] == UNKNOWN_TOPIC:
            continue
        _raise_code(topic["error_code"], needs=f"Describe {topic['topic']}")
        found[topic["topic"]] = topic["partitions"]
    return found


def _facts(partitions: list[Any], settings: Mapping[str, tuple[str, bool]]) -> TopicFacts:
    return TopicFacts(
        partitions=len(partitions),
        replicas=min(len(partition["replicas"]) for partition in partitions),
        led=all(partition["leader"] >= 0 for partition in partitions),
        batch_bytes_max=int(settings["max.message.bytes"][0]),
        settings={name: value for name, (value, _) in settings.items()},
        own=frozenset(name for name, (_, own) in settings.items() if own),
    )


async def _all_led(client: AIOKafkaAdminClient, topics: list[str]) -> dict[str, TopicFacts]:
    found = await _described(client, topics)
    for topic in topics:
        if topic not in found or not found[topic].led:
            raise LeaderNotAvailableError(topic)
    return found


async def _settings(
    client: AIOKafkaAdminClient, topics: list[str]
) -> dict[str, dict[str, tuple[str, bool]]]:
    """Per topic and name: the value, and whether it is the topic's own."""
    if not topics:
        return {}
    resources = [ConfigResource(ConfigResourceType.TOPIC, topic) for topic in topics]
    found = {}
    answers: list[Any] = await client.describe_configs(resources)
    for answer in answers:
        for code, _, _, topic, entries in answer.resources:
            if code == UNKNOWN_TOPIC:
                continue
            _raise_code(code, needs=f"DescribeConfigs of {topic}")
            found[topic] = {e[0]: (e[1] or "", e[3] == SET_ON_TOPIC) for e in entries}
    return found


def _raise_code(code: int, *, needs: str) -> None:
    error = for_code(code)
    if error in FORBIDDEN:
        raise missing_right(needs)
    if error is not NoError:
        raise error()


async def _settled(ask: Callable[[], Awaitable[T]]) -> T:
    """The answer of a cluster that may just be starting or electing."""
    async with asyncio.timeout(SETTLE_LIMIT_S):
        while True:
            with contextlib.suppress(*_UNSETTLED):
                return await ask()
            await asyncio.sleep(SETTLE_PAUSE_S)
