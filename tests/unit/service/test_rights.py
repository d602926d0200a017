"""The rights of each role, as they are printed. That they suffice, a real broker shows."""

from __future__ import annotations

import shlex
from pathlib import Path

from streambackup.bus.generations import new_generation, specs_of
from streambackup.service.rights import Right, acl_command, least_rights
from tests.support.backup import Backup

STORE = "0123456789abcdef"


def test_every_role_sees_every_topic() -> None:
    """It asks at its start whether any of them would lose data."""
    topics = {spec.name for spec in specs_of(new_generation(1))}

    for role in {right.role for right in least_rights(STORE)}:
        rights = [right for right in least_rights(STORE) if right.role == role]
        assert {right.name for right in rights if right.resource == "topic"} == topics


def test_only_sources_and_the_operator_write_and_workers_their_notices() -> None:
    writing = [right for right in least_rights(STORE) if "Write" in right.operations]

    notices = {right.role for right in writing if right.name == "mailbox.quarantine"}
    assert notices == {"account", "blob"}
    assert {right.role for right in writing} - notices == {"source", "operator"}


def test_each_worker_consumes_its_own_group_alone() -> None:
    groups = [right for right in least_rights(STORE) if right.resource == "group"]

    assert {(right.role, right.name) for right in groups if "Read" in right.operations} == {
        ("account", f"streambackup.{STORE}.transactions"),
        ("blob", f"streambackup.{STORE}.blobs"),
    }


def test_rights_hold_for_later_generations_too() -> None:
    literal = {right.name for right in least_rights(STORE) if not right.prefixed}

    assert literal == {"streambackup.config"}


def test_before_there_is_a_store_its_groups_are_meant_by_their_beginning() -> None:
    groups = [right for right in least_rights(None) if right.resource == "group"]

    assert {(right.name, right.prefixed) for right in groups} == {("streambackup.", True)}


def test_a_right_is_one_call_of_the_tool() -> None:
    right = Right("blob", "group", "streambackup.", True, ["Describe", "Read"])

    assert shlex.split(acl_command(right, "kafka1:9092")) == [
        *("kafka-acls.sh", "--bootstrap-server", "kafka1:9092", "--add"),
        *("--allow-principal", "User:streambackup-blob"),
        *("--operation", "Describe", "--operation", "Read", "--group", "streambackup."),
        *("--resource-pattern-type", "prefixed"),
    ]


def test_they_are_printed_without_a_broker(tmp_path: Path) -> None:
    backup = Backup(tmp_path, settings={"bus.kind": "kafka"})

    rights = backup.json("topic", "create", "--show-acls")
    lines = backup.ask("topic", "create", "--show-acls").text.splitlines()

    roles = ["source", "account", "blob", "reader", "operator"]
    assert list(dict.fromkeys(right["role"] for right in rights)) == roles
    assert [line for line in lines if line.startswith("#")] == [f"# {role}" for role in roles]
    assert len(lines) == len(rights) + len(roles)


def test_the_embedded_bus_has_none(tmp_path: Path) -> None:
    answer = Backup(tmp_path).ask("topic", "create", "--show-acls", code=2)

    assert "the embedded bus has no rights" in answer.errors
