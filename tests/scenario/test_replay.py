"""Replaying the topics rebuilds the backup: beside a service, instead of a lost store, and however
often it was killed on the way.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streambackup.blobs.loose import LooseBlobs
from streambackup.bus.embedded.bus import EmbeddedBus
from streambackup.bus.port import Bus, Outgoing
from streambackup.coherency.check import check_store
from streambackup.events.config import CONFIG_TOPIC, PRIMARY_KEY
from streambackup.events.topics import BLOBS
from streambackup.reading.store_reader import StoreReader
from streambackup.reading.survey import Survey
from streambackup.runtime.clock import SystemClock
from streambackup.service.store_home import node_id
from streambackup.testing.simulation.mailboxes import Mailboxes
from streambackup.testing.simulation.producers import Producers
from tests.support.backup import Backup, clean_environment, tree_of
from tests.support.raw_bus import RawBus
from tests.support.running import Running

pytestmark = pytest.mark.scenario

PARTITIONS = 4
BURSTS = 80
INCOMPLETE = 14


def embedded(folder: Path) -> Bus:
    return EmbeddedBus(folder / "bus", clock=SystemClock())


def fill_bus(bus: Bus, seed: str, bursts: int = BURSTS) -> None:
    """Transactions of every kind, contents that come whole and some that never do, records that
    nobody can decode.
    """
    with RawBus(bus) as raw:
        raw.create(PARTITIONS)
        mailboxes = Mailboxes(seed, Producers(raw))
        for _ in range(bursts):
            mailboxes.step()


def state_of(path: Path) -> Path:
    return path / "state" / node_id()


def seen(path: Path) -> tuple[object, ...]:
    """The fingerprint, and how far content is there."""
    survey = Survey(StoreReader(path), lambda _: None)
    return survey.fingerprint, survey.coverage(), survey.accounts, survey.in_doubt


def faults(path: Path) -> list[str]:
    """What a check finds but contents that never came."""
    return [f.what for f in check_store(path).faults if f.finding != "missing-blob"]


@pytest.fixture
def backup(tmp_path: Path) -> Backup:
    """A store of an embedded bus on which a lot has happened."""
    backup = Backup(tmp_path / "backup")
    fill_bus(embedded(state_of(backup.path)), "scenario")
    return backup.init()


def record_all(backup: Backup) -> None:
    with backup.service(findings=["missing-blob", "conflicting-transaction"]) as running:
        running.wait_until(
            lambda: all(
                at["lag"] == 0 for at in running.status()["partitions"] if at["topic"] != BLOBS
            ),
            "all transactions were durable",
        )


def replay(backup: Backup, *words: object, code: int = INCOMPLETE) -> dict[str, Any]:
    """Its report: the last line of what it says to programs."""
    said = backup.ask("replay", *words, "--json", code=code).output.splitlines()
    report: dict[str, Any] = msgspec.json.decode(said[-1])
    return report


@pytest.mark.row("M6")
def test_a_replay_beside_a_service_rebuilds_the_store_and_leaves_no_trace(
    tmp_path: Path, backup: Backup
) -> None:
    to = tmp_path / "replay"
    record_all(backup)
    bus_before = tree_of(state_of(backup.path) / "bus")
    report = replay(backup, "--to", to)
    assert seen(to) == seen(backup.path)
    assert faults(to) == []
    assert report["fingerprint"] == backup.json("fingerprint")["fingerprint"]
    assert report["blobs"] == msgspec.to_builtins(seen(backup.path)[1])
    assert report["replica_of"] == backup.reader().config.store != report["store"]
    assert tree_of(state_of(backup.path) / "bus") == bus_before
    items = {digest: LooseBlobs(to).read(digest) for digest in LooseBlobs(to).digests()}
    first = LooseBlobs(backup.path)
    assert items == {digest: first.read(digest) for digest in first.digests()}
    assert items


def test_a_replay_that_was_killed_goes_on(tmp_path: Path, backup: Backup) -> None:
    """Again and again, each time somewhere else."""
    to = tmp_path / "replay"
    record_all(backup)
    command = backup.command(
        "replay", "--to", to, "--json", "--bytes-per-second", 8_000,
        "--set", "worker.batch_records_max=1",
    )  # fmt: skip
    reached = 0
    for _ in range(3):
        with Running(command, clean_environment(tmp_path), tmp_path / "replay.log") as running:

            def read(running: Running = running, reached: int = reached) -> int | None:
                lines = [line for line in running.log.splitlines() if b'"replaying"' in line]
                done = msgspec.json.decode(lines[-1])["done"] if lines else 0
                return done if done > reached else None

            reached = running.wait_until(read, "it had read more")
            running.kill()
    total = sum(at.end for at in _bounds(backup))
    assert reached < total
    replay(backup, "--to", to)
    assert seen(to) == seen(backup.path)
    assert faults(to) == []
    with_all = tree_of(to / "accounts")
    replay(backup, "--to", to)
    assert tree_of(to / "accounts") == with_all


def _bounds(backup: Backup) -> Any:
    with RawBus(embedded(state_of(backup.path))) as raw:
        return list(raw.bounds().values())


def test_one_that_is_told_to_stop_says_that_it_goes_on(tmp_path: Path, backup: Backup) -> None:
    to = tmp_path / "replay"
    slowly = backup.command("replay", "--to", to, "--json", "--bytes-per-second", 5_000)
    log = tmp_path / "replay.log"
    with Running(slowly, clean_environment(tmp_path), log) as running:
        running.wait_until(lambda: b'"replaying"' in running.log, "it was at work")
        running.stop(code=130)
    assert b"The same command goes on" in log.read_bytes()
    replay(backup, "--to", to)
    assert faults(to) == []


def test_a_lost_store_comes_back_and_goes_on_as_the_same(tmp_path: Path) -> None:
    """With its id, so that its node's sources, outbox and bus are its own still."""
    state = tmp_path / "state"
    fill_bus(embedded(state), "lost")
    backup = Backup(tmp_path / "backup", settings={"store.state_path": str(state)})
    backup.init("--moment-ms", 250, "--ignore", "flags")
    record_all(backup)
    config, noted = backup.reader().config, seen(backup.path)
    shutil.rmtree(backup.path)
    assert "was set up for the store" in backup.ask("status", code=4).errors

    report = replay(backup, "--to", backup.path, "--as-primary")
    assert backup.reader().config == config
    assert (report["fingerprint"], report["replica_of"]) == (noted[0], None)
    assert seen(backup.path) == noted
    line = {"account": "anna", "item": "new", "type": "document", "state": {"name": "new"}}
    with backup.service(findings=["missing-blob", "conflicting-transaction"]) as running:
        backup.publish([line])
        running.wait_until(lambda: "new" in items_of(backup), "it recorded what came then")
    assert backup.reader().config == config


def items_of(backup: Backup) -> list[str]:
    return list(backup.reader().history("anna").items)


def test_content_that_is_gone_comes_from_elsewhere_verified(tmp_path: Path, backup: Backup) -> None:
    """A damaged blob is not taken, and what is nowhere is missing still."""
    record_all(backup)
    to, elsewhere = tmp_path / "replay", tmp_path / "elsewhere"
    whole = replay(backup, "--to", to)["blobs"]
    taken = set(LooseBlobs(to).digests()) & named_by(to)
    assert len(taken) > 3
    shutil.move(to / "items", elsewhere / "items")
    LooseBlobs(elsewhere).path_of(min(taken)).write_bytes(b"something else")

    gone = replay(backup, "--to", to)
    assert gone["blobs"] == {**whole, "stored": 0, "missing": whole["missing"] + len(taken)}
    most = replay(backup, "--to", to, "--content-from", elsewhere)
    assert most["content_taken"] == most["blobs"]["stored"] == len(taken) - 1
    found = replay(backup, "--to", to, "--content-from", elsewhere, "--content-from", backup.path)
    assert (found["content_taken"], found["blobs"]) == (1, whole)
    assert seen(to) == seen(backup.path)
    assert faults(to) == []
    assert replay(backup, "--to", to, "--content-from", elsewhere)["content_taken"] == 0


def named_by(path: Path) -> set[str]:
    """The contents that states name."""
    histories = StoreReader(path).histories()
    items = [item for history in histories for item in history.items.values()]
    return {state.digest for item in items for state in item.states if state.digest}


def test_only_an_empty_place_or_a_replay_of_the_same_topics_is_written_to(
    tmp_path: Path, backup: Backup
) -> None:
    other = Backup(tmp_path / "other").init()
    full = tmp_path / "full"
    full.mkdir()
    (full / "file").touch()
    for place, reason in (
        (backup.path, "which no replay of these topics made"),
        (other.path, "which no replay of these topics made"),
        (full, "is not empty"),
    ):
        before = tree_of(place)
        assert reason in backup.ask("replay", "--to", place, code=4).errors
        assert tree_of(place) == before
    ours = tmp_path / "ours"
    replay(backup, "--to", ours)
    before = tree_of(ours)
    assert "no replay of these topics" in other.ask("replay", "--to", ours, code=4).errors
    assert "without --as-primary" in backup.ask(
        "replay", "--to", ours, "--as-primary", "--path", tmp_path / "away",
        "--set", f"store.state_path={state_of(backup.path)}", code=2,
    ).errors  # fmt: skip
    assert tree_of(ours) == before


def test_the_primary_is_made_again_only_where_it_is_lost(tmp_path: Path, backup: Backup) -> None:
    to = tmp_path / "replay"
    refused = backup.ask("replay", "--to", to, "--as-primary", code=4).errors
    assert "is not lost" in refused
    assert not to.exists()


def test_settings_come_from_the_topics_or_from_a_store_that_has_the_same(tmp_path: Path) -> None:
    """Topics of an older release name the primary by its id alone."""
    backup = Backup(tmp_path / "backup")
    state = state_of(backup.path)
    fill_bus(embedded(state), "old", bursts=5)
    with RawBus(embedded(state)) as raw:
        raw.publish([Outgoing(CONFIG_TOPIC, PRIMARY_KEY, b'{"store":"lost"}')])
    like = Backup(tmp_path / "like").init("--moment-ms", 7, "--ignore", "flags")
    shutil.copy(like.path / "streambackup.json", backup.path)
    to = tmp_path / "replay"
    refused = backup.ask("replay", "--to", to, code=2).errors
    assert "do not tell with which settings" in refused
    assert not to.exists()
    replay(backup, "--to", to, "--like", like.path, code=0)
    made, as_there = StoreReader(to).config, like.reader().config
    assert (made.moment_ms, made.ignored_attributes) == (7, ("flags",))
    assert made.store not in {"lost", as_there.store}
    assert "other settings" in backup.ask(
        "replay", "--to", to, "--like", Backup(tmp_path / "unlike").init().path, code=2
    ).errors  # fmt: skip
