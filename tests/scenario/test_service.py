"""The service as a process: started, asked, refused, stopped."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from streambackup.bus.embedded.bus import EmbeddedBus
from streambackup.bus.port import Outgoing
from streambackup.domain.digest import digest_of
from streambackup.events.blob import Chunk
from streambackup.events.codec import encode_event
from streambackup.events.mailbox import SCHEMA
from streambackup.runtime.clock import SystemClock
from streambackup.service.store_home import node_id
from tests.support.backup import Backup, tree_of

pytestmark = pytest.mark.scenario

MAIL = b"Subject: Hi\r\n\r\nhello\r\n"
LINES = [
    {"account": "ann", "item": "in", "type": "folder", "state": {"name": "Inbox"}},
    {"account": "ann", "item": "7", "type": "message", "state": {"folder": "in"}, "file": "m.eml"},
]
FILES = {"m.eml": MAIL}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def test_it_records_what_is_published_while_it_runs(tmp_path: Path) -> None:
    backup = Backup(tmp_path / "b").init()
    backup.recorded(LINES, files=FILES)
    assert backup.ask("item", "cat", "ann", "7").output == MAIL


def test_what_was_published_before_its_start_is_recorded_after_it(tmp_path: Path) -> None:
    backup = Backup(tmp_path / "b").init()
    backup.publish(LINES, files=FILES)
    with backup.service() as running:
        running.wait_until_caught_up()
    assert backup.ask("item", "cat", "ann", "7").output == MAIL


def test_health_and_metrics_tell_how_it_is(tmp_path: Path) -> None:
    backup = Backup(tmp_path / "b").init()
    with backup.service() as running:
        backup.publish(LINES, files=FILES)
        running.wait_until_caught_up()
        assert running.get("/healthz") == running.get("/readyz") == b"ok\n"
        metrics = running.get("/metrics").decode()
    assert "streambackup_blobs_stored_total 1.0" in metrics
    assert 'streambackup_durable_position{partition="0",topic="mailbox.transactions"}' in metrics


@pytest.mark.row("F096")
def test_after_a_kill_and_only_then_a_check_is_advised(tmp_path: Path) -> None:
    backup = Backup(tmp_path / "b").init()
    with backup.service() as running:
        backup.publish(LINES, files=FILES)
        running.wait_until_caught_up()
        running.kill()
    with backup.service() as running:
        running.wait_until_caught_up()
        after_the_kill = running.status()["warnings"]
        assert [event["level"] for event in running.events("check_advised")] == ["warning"]
    with backup.service() as running:
        running.wait_until_caught_up()
        after_an_orderly_end = running.status()["warnings"]
        assert running.events("check_advised") == []

    assert [warning for warning in after_the_kill if "streambackup check" in warning] != []
    assert [warning for warning in after_an_orderly_end if "streambackup check" in warning] == []
    backup.expect_sound(killed=True)


def test_every_file_of_a_store_at_work_is_private(tmp_path: Path) -> None:
    backup = Backup(tmp_path / "b").init()
    with backup.service() as running:
        backup.publish(LINES, files=FILES)
        running.wait_until_caught_up()
        modes = {path: path.lstat().st_mode & 0o777 for path in backup.path.rglob("*")}
    assert any(path.name.startswith("blobs-") and path.name.endswith("-wal") for path in modes)
    assert {path for path, mode in modes.items() if mode not in {0o600, 0o700}} == set()


def test_a_second_one_on_the_same_path_is_refused(tmp_path: Path) -> None:
    backup = Backup(tmp_path / "b").init()
    with backup.service() as running:
        running.get("/healthz")
        refused = backup.ask("run", code=5)
        assert "another service works on" in refused.errors
        assert running.alive


def test_one_that_has_no_time_to_finish_says_so_and_loses_nothing(tmp_path: Path) -> None:
    backup = Backup(tmp_path / "b", settings={"shutdown.drain_s": 0}).init()
    backup.publish(LINES, files=FILES)
    with backup.service(code=20, findings=("unfiled-segment",)) as running:
        running.wait_until_caught_up()
    assert b"not finished 0 s after being told to end" in running.log
    assert backup.ask("item", "cat", "ann", "7").output == MAIL


def test_without_a_store_it_names_the_cure(tmp_path: Path) -> None:
    assert "streambackup init" in Backup(tmp_path / "b").ask("run", code=4).errors


def test_the_path_of_another_store_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    one, other = Backup(tmp_path / "one").init(), Backup(tmp_path / "other").init()
    before = tree_of(one.path)
    state = other.path / "state" / node_id()
    refused = one.ask("run", "--set", f"store.state_path={state}", code=4)
    assert "not the store that this node was set up for" in refused.errors
    assert tree_of(one.path) == before


def test_one_role_alone_does_only_its_part(tmp_path: Path) -> None:
    backup = Backup(tmp_path / "b").init()
    backup.publish(LINES, files=FILES)
    with backup.service("--role", "account") as running:
        running.wait_until(
            lambda: all(
                at["lag"] == 0
                for at in running.status()["partitions"]
                if at["topic"] == "mailbox.transactions"
            ),
            "the transactions were durable",
        )
    assert backup.json("item", "show", "ann", "7")["content"] == "pending"
    assert "on its way" in backup.ask("item", "cat", "ann", "7", code=17).errors


def test_content_that_is_only_on_the_bus_is_restored_from_there(tmp_path: Path) -> None:
    backup = Backup(tmp_path / "b").init()
    backup.publish(LINES, files=FILES)
    with backup.service("--role", "account") as running:
        running.wait_until(
            lambda: backup.ask("account", "list").output.count(b"ann"), "the account was known"
        )
    report = backup.json("restore", "item", "ann", "7", "--to", tmp_path / "out")
    assert (report["restored"], report["complete"]) == (1, True)
    assert MAIL in tree_of(tmp_path / "out").values()


def test_an_upload_without_end_is_named_on_an_idle_partition(tmp_path: Path) -> None:
    backup = Backup(tmp_path / "b", settings={"http.listen": f"127.0.0.1:{free_port()}"}).init()
    begun = Chunk(
        schema=SCHEMA, digest=digest_of(MAIL), upload="u7", offset=0, total=len(MAIL), data=b"Sub"
    )
    record = Outgoing("mailbox.blobs", digest_of(MAIL).encode(), encode_event(begun))
    publish_record(backup, record)
    with backup.service() as running:
        running.wait_until(
            lambda: running.status()["held_uploads"] and not running.status()["gaps"],
            "the upload held its partition",
        )
        (warning,) = backup.json("status")["warnings"]
        assert "u7" in warning
        assert f"3 of {len(MAIL)} bytes" in warning


def test_status_warns_of_what_needs_attention(tmp_path: Path) -> None:
    settings = {"disk.free_warning_mb": 10**9}
    backup = Backup(tmp_path / "b", settings=settings).init()
    publish_record(backup, Outgoing("mailbox.transactions", b"ann", b"rubbish"))
    with backup.service() as running:
        running.wait_until(lambda: running.status()["quarantined"], "the record was put aside")
    warnings = backup.json("status")["warnings"]
    for part in ("no service works", "MB are free", "1 record could not be used"):
        assert any(part in warning for warning in warnings)
    assert "quarantine" in backup.ask("account", "show", "ann").text


def publish_record(backup: Backup, record: Outgoing) -> None:
    """Past our own publisher, as a foreign program would."""

    async def publish() -> None:
        folder = backup.path / "state" / node_id() / "bus"
        bus = EmbeddedBus(folder, clock=SystemClock())
        producer = await bus.producer()
        await producer.publish([record])
        await bus.close()

    asyncio.run(publish())


@pytest.mark.kafka
def test_on_kafka_the_same_commands_do_the_same(tmp_path: Path, fresh_kafka: str) -> None:
    settings = {"bus.kind": "kafka", "bus.kafka.bootstrap_servers": fresh_kafka}
    backup = Backup(tmp_path / "b", settings=settings)
    assert "topic create" in backup.ask("topic", "describe", code=8).errors
    assert backup.json("init")["generation"] is None
    created = backup.json("topic", "create", "--partitions", 3)
    assert created["partitions"] == 3
    described = {topic["name"]: topic for topic in backup.json("topic", "describe")}
    assert described["mailbox.transactions"]["settings"]["cleanup.policy"] == "delete"
    assert described["mailbox.transactions"]["faults"] == []
    assert backup.json("init")["generation"] == created["generation"]
    backup.recorded(LINES, files=FILES)
    assert backup.ask("item", "cat", "ann", "7").output == MAIL
    other = Backup(tmp_path / "other", settings=settings)
    assert other.json("init")["primary"] == backup.reader().config.store
    assert "is a replica of store" in other.ask("init").text
