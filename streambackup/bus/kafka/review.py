"""Judging a topic: what loses data, and what is weaker than it should be."""

from __future__ import annotations

from typing import NamedTuple

from streambackup.bus.kafka.topics import MIN_IN_SYNC, REPLICAS, TopicFacts
from streambackup.bus.port import TopicSpec

FOREVER_MS = -1


class Review(NamedTuple):
    warnings: list[str]
    faults: list[str]


def review(facts: TopicFacts, spec: TopicSpec) -> Review:
    """What is wrong with a topic that shall be as *spec* says."""
    return Review(_warnings(facts, spec), _faults(facts, spec))


def _faults(facts: TopicFacts, spec: TopicSpec) -> list[str]:
    policy = facts.settings["cleanup.policy"]
    faults = []
    if not facts.own & {"cleanup.policy", "retention.ms"}:
        faults.append(
            "it was not made for us: it has no cleanup.policy and retention.ms of its own"
        )
    if "compact" in policy and not spec.compacted:
        faults.append(f"cleanup.policy={policy}: of each key only the newest record is kept")
    if "delete" in policy and spec.compacted:
        faults.append(f"cleanup.policy={policy}: keys that nobody writes are forgotten")
    if facts.partitions != spec.partitions:
        faults.append(f"it has {facts.partitions} partitions, not {spec.partitions}")
    return faults


def _warnings(facts: TopicFacts, spec: TopicSpec) -> list[str]:
    settings = facts.settings
    warnings = []
    if facts.replicas < REPLICAS:
        warnings.append(f"it has {facts.replicas} replicas, not {REPLICAS}")
    in_sync = int(settings["min.insync.replicas"])
    if in_sync < MIN_IN_SYNC:
        warnings.append(f"min.insync.replicas={in_sync}: a record may be acknowledged by one disk")
    if in_sync > facts.replicas:
        warnings.append(
            f"min.insync.replicas={in_sync}: more than it has, nothing can be published"
        )
    if settings["unclean.leader.election.enable"] == "true":
        warnings.append("unclean.leader.election.enable=true: acknowledged records may vanish")
    if settings["retention.bytes"] != "-1" and not spec.compacted:
        warnings.append(f"retention.bytes={settings['retention.bytes']}: size ends what age allows")
    kept_ms = int(settings["retention.ms"])
    if not spec.compacted and kept_ms != FOREVER_MS and not 0 <= spec.retention_ms <= kept_ms:
        warnings.append(f"retention.ms={kept_ms}: shorter than {spec.retention_ms}")
    return warnings
