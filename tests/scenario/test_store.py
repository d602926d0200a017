"""The backup path as a service finds it: its own, or refused and left as it is."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from streambackup.domain.instant import parse_instant
from streambackup.runtime.clock import SystemClock
from streambackup.service.store_home import node_id
from tests.support.backup import Backup, tree_of

pytestmark = pytest.mark.scenario


def without_the_bus(root: Path) -> dict[str, bytes]:
    """Every file of a store, but for those of the bus, which opening it may touch."""
    return {name: data for name, data in tree_of(root).items() if "/bus/" not in name}


@pytest.mark.row("F052")
def test_a_store_of_another_node_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    """A whole store put where this node's was, its state with it but for the node's own part."""
    one, other = Backup(tmp_path / "one").init(), Backup(tmp_path / "other").init()
    shutil.rmtree(other.path / "state")
    shutil.copytree(one.path / "state", other.path / "state")
    before = tree_of(other.path)
    assert "init --join" in other.ask("init", code=4).errors
    assert "set up for" in other.ask("run", code=4).errors
    assert tree_of(other.path) == before


@pytest.mark.row("F053")
@pytest.mark.parametrize("file", ["streambackup.json", f"state/{node_id()}/streambackup.json"])
def test_an_edited_marker_is_refused(file: str, tmp_path: Path) -> None:
    backup = Backup(tmp_path / "backup").init()
    marker = backup.path / file
    store = backup.reader().config.store
    marker.write_text(marker.read_text().replace(store, store[::-1]))
    before = without_the_bus(backup.path)
    refused = backup.ask("run", code=4)
    assert "streambackup.json" in refused.errors
    assert len(refused.errors.splitlines()) == 2
    assert without_the_bus(backup.path) == before


@pytest.mark.row("F062")
def test_the_time_of_the_first_run_is_set_once(tmp_path: Path) -> None:
    backup = Backup(tmp_path / "backup").init()
    file = backup.path / "backupstat"
    assert not file.exists()
    now_ms = SystemClock().now_ms()
    with backup.service() as running:
        running.get("/healthz")
    first = file.read_text()
    assert 0 <= parse_instant(first, now_ms=0).time_ms - now_ms < 60_000
    with backup.service() as running:
        running.get("/healthz")
    assert file.read_text() == first


def test_a_directory_with_something_else_in_it_is_no_place_for_a_store(tmp_path: Path) -> None:
    backup = Backup(tmp_path / "backup")
    backup.path.mkdir()
    (backup.path / "mine.txt").write_text("mine")
    assert "mine.txt" in backup.ask("init", code=4).errors
    assert tree_of(backup.path) == {"mine.txt": b"mine"}


@pytest.mark.parametrize(
    ("words", "code", "message", "cure"),
    [
        (["item", "lst", "ann"], 2, "lst", 'Did you mean "list"?'),
        (["check", "--jsn"], 2, "--jsn", "Did you mean --json?"),
        (["check", "--set", "worker.segment_aeg_s=1"], 2, "segment_aeg_s", "segment_age_s"),
        (["item", "list", "ann", "--at", "yesterdya"], 2, "not a time", "Write a time like"),
        (["item", "show", "ann", "x"], 3, "no account ann", "account list"),
        (["item", "history", "bem", "1"], 3, "no account bem", "Did you mean 'ben'?"),
        (["item", "history", "ben", "letetr"], 3, "no item letetr", "Did you mean 'letter'?"),
        (
            ["restore", "item", "ben", "letter", "--transaction", "x"],
            2,
            "transaction id",
            "Ids look",
        ),
    ],
)
def test_a_mistake_gets_one_line_and_its_cure(
    words: list[str], code: int, message: str, cure: str, ben: Backup
) -> None:
    answer = ben.ask(*words, code=code)
    told, hint = answer.errors.splitlines()
    assert told.startswith("streambackup: ")
    assert message in told
    assert cure in hint
    assert answer.output == b""


@pytest.fixture(scope="module")
def ben(tmp_path_factory: pytest.TempPathFactory) -> Backup:
    """A store that knows one account with one item."""
    backup = Backup(tmp_path_factory.mktemp("store") / "backup").init()
    line = {"account": "ben", "item": "letter", "type": "document", "state": {"name": "n"}}
    backup.recorded([line])
    return backup
