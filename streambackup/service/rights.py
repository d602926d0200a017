"""The least that each role must be allowed to do on the topics and groups of a store."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from streambackup.events.config import CONFIG_TOPIC
from streambackup.events.topics import BLOBS, INVENTORY, QUARANTINE, TRANSACTIONS
from streambackup.service.wiring import GROUP_PREFIX, group_name

USER_PREFIX = "streambackup-"
"""The user of a role is called after it, unless whoever runs the cluster calls it otherwise."""

_TOPICS = (TRANSACTIONS, INVENTORY, BLOBS, QUARANTINE, CONFIG_TOPIC)
_BEYOND_LOOKING: Mapping[str, Mapping[str, Sequence[str]]] = {
    "source": {TRANSACTIONS: ("Write",), BLOBS: ("Write",), CONFIG_TOPIC: ("Read",)},
    "account": {
        TRANSACTIONS: ("Read",),
        INVENTORY: ("Read",),
        QUARANTINE: ("Write",),
        CONFIG_TOPIC: ("Read",),
    },
    "blob": {BLOBS: ("Read",), QUARANTINE: ("Write",), CONFIG_TOPIC: ("Read",)},
    "reader": {BLOBS: ("Read",), CONFIG_TOPIC: ("Read",)},
    "operator": {
        TRANSACTIONS: ("Create", "Read", "Write"),
        INVENTORY: ("Create",),
        BLOBS: ("Create", "Read"),
        QUARANTINE: ("Create",),
        CONFIG_TOPIC: ("Create", "Read", "Write"),
    },
}
_IMPLY_DESCRIBE = {"Read", "Write"}
_CONSUMES = {"account": TRANSACTIONS, "blob": BLOBS}


class Right(msgspec.Struct, frozen=True):
    """What *role* may do with a topic or a group, or with all whose names begin so."""

    role: str
    resource: str
    name: str
    prefixed: bool
    operations: list[str]


def least_rights(store: str | None) -> list[Right]:
    """The rights of every role: sources and ``publish``, the workers, whoever only reads and
    restores, and the operator, who creates topics and makes the store. Before there is a *store*
    its groups are not known by name.
    """
    return [right for role in _BEYOND_LOOKING for right in _of_role(role, store)]


def _of_role(role: str, store: str | None) -> Iterator[Right]:
    for topic in _TOPICS:
        more = _BEYOND_LOOKING[role].get(topic, ())
        operations = [*(() if _IMPLY_DESCRIBE & {*more} else ("Describe",)), "DescribeConfigs"]
        later = topic != CONFIG_TOPIC  # Generations add to the names of all others.
        yield Right(role, "topic", topic, later, [*operations, *more])
    if store is None:
        yield Right(role, "group", GROUP_PREFIX, True, _of_group(role in _CONSUMES))
        return
    for topic in (TRANSACTIONS, BLOBS):
        operations = _of_group(_CONSUMES.get(role) == topic)
        yield Right(role, "group", group_name(store, topic), True, operations)


def _of_group(consumes: bool) -> list[str]:
    return ["Read"] if consumes else ["Describe"]


def acl_command(right: Right, bootstrap_servers: str) -> str:
    """The call of Kafka's own tool that gives a right."""
    words = ["kafka-acls.sh", "--bootstrap-server", bootstrap_servers, "--add"]
    words += ["--allow-principal", f"User:{USER_PREFIX}{right.role}"]
    words += [word for operation in right.operations for word in ("--operation", operation)]
    words += [f"--{right.resource}", right.name]
    words += ["--resource-pattern-type", "prefixed"] if right.prefixed else []
    return shlex.join(words)
