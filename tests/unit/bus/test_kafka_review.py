"""Topics on Kafka: the settings that new ones get, and what is wrong with those there are."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from streambackup.bus.kafka.review import review
from streambackup.bus.kafka.topics import TopicFacts, few_brokers, settings_of
from streambackup.bus.port import TopicSpec

WEEK_MS = 7 * 24 * 3600 * 1000
DATA = TopicSpec(name="mailbox.blobs", partitions=64, retention_ms=WEEK_MS)
CONFIG = TopicSpec(name="streambackup.config", partitions=1, retention_ms=-1, compacted=True)
BROKER = {"retention.bytes": "-1", "max.message.bytes": "1048588"}


def made(
    spec: TopicSpec, changed: Mapping[str, str] | None = None, *, replicas: int = 3
) -> TopicFacts:
    """The topic as ``topic create`` makes it on three brokers, then changed."""
    own = settings_of(spec, replicated=True)
    settings = {**BROKER, **own, **(changed or {})}
    return TopicFacts(spec.partitions, replicas, True, 1_048_588, settings, frozenset(own))


@pytest.mark.parametrize("spec", [DATA, CONFIG], ids=lambda spec: spec.name)
def test_a_topic_as_we_make_it_has_nothing_against_it(spec: TopicSpec) -> None:
    assert review(made(spec), spec) == ([], [])


@pytest.mark.parametrize("policy", ["compact", "compact,delete"])
def test_a_compacted_data_topic_is_a_fault(policy: str) -> None:
    (fault,) = review(made(DATA, {"cleanup.policy": policy}), DATA).faults
    assert "newest record" in fault


@pytest.mark.parametrize("policy", ["delete", "compact,delete"])
def test_a_config_topic_that_forgets_is_a_fault(policy: str) -> None:
    (fault,) = review(made(CONFIG, {"cleanup.policy": policy}), CONFIG).faults
    assert "forgotten" in fault


def test_a_topic_that_created_itself_is_a_fault() -> None:
    facts = made(DATA)._replace(own=frozenset())
    (fault,) = review(facts, DATA).faults
    assert "not made for us" in fault


def test_another_number_of_partitions_is_a_fault() -> None:
    (fault,) = review(made(DATA)._replace(partitions=1), DATA).faults
    assert fault == "it has 1 partitions, not 64"


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("min.insync.replicas", "1"),
        ("min.insync.replicas", "4"),
        ("unclean.leader.election.enable", "true"),
        ("retention.bytes", "1073741824"),
        ("retention.ms", str(WEEK_MS - 1)),
    ],
)
def test_each_weaker_setting_is_a_warning(setting: str, value: str) -> None:
    found = review(made(DATA, {setting: value}), DATA)
    assert found.faults == []
    assert [warning.startswith(f"{setting}={value}") for warning in found.warnings] == [True]


def test_fewer_replicas_are_a_warning() -> None:
    assert review(made(DATA, replicas=2), DATA).warnings == ["it has 2 replicas, not 3"]


@pytest.mark.parametrize("kept_ms", [WEEK_MS, WEEK_MS + 1, -1])
def test_a_longer_retention_is_fine(kept_ms: int) -> None:
    assert review(made(DATA, {"retention.ms": str(kept_ms)}), DATA).warnings == []


def test_a_retention_that_shall_be_for_ever_must_be() -> None:
    wanted = TopicSpec(name="t", partitions=64, retention_ms=-1)
    assert len(review(made(DATA), wanted).warnings) == 1


def test_new_topics_are_as_safe_as_the_cluster_allows() -> None:
    assert settings_of(DATA, replicated=True) == {
        "cleanup.policy": "delete",
        "retention.ms": str(WEEK_MS),
        "min.insync.replicas": "2",
        "unclean.leader.election.enable": "false",
    }
    assert settings_of(DATA, replicated=False)["min.insync.replicas"] == "1"
    assert settings_of(CONFIG, replicated=True)["cleanup.policy"] == "compact"


def test_a_small_cluster_is_told_of() -> None:
    assert few_brokers(3) == []
    assert "2 brokers: new topics have one replica" in few_brokers(2)[0]
    assert "1 broker: " in few_brokers(1)[0]
