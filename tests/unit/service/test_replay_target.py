"""Where a replay may write: what it makes, and what it made."""

from __future__ import annotations

from pathlib import Path

import pytest

from streambackup.errors import NoStoreError, StoreError, UsageError
from streambackup.events.config import Primary, StoreSetup
from streambackup.metadata.store_config import STORE_FILE, StoreConfig
from streambackup.runtime.disk import Disk
from streambackup.service.replay_target import open_target, target_settings, wanted_setup
from streambackup.service.settings import StoreSettings
from streambackup.service.store_home import StoreHome, create_store, node_id
from tests.support.manual_clock import ManualClock

SETUP = StoreSetup(created_ms=7, moment_ms=250, ignored_attributes=("flags",))
PRIMARY = Primary("primary", SETUP)


class FailingDisk(Disk):
    """Dies before it gives a file of that name its contents."""

    def __init__(self, name: Path) -> None:
        super().__init__()
        self._dies_at = name

    def replace(self, path: Path, data: bytes) -> None:
        if path == self._dies_at:
            raise ConnectionAbortedError
        super().replace(path, data)


def opened(
    path: Path,
    *,
    primary: Primary = PRIMARY,
    setup: StoreSetup = SETUP,
    as_primary: bool = False,
    state: Path | None = None,
    disk: Disk | None = None,
) -> StoreHome:
    settings = StoreSettings(path=path, state_path=state)
    return open_target(
        settings, primary, setup, as_primary=as_primary, disk=disk or Disk(), clock=ManualClock()
    )


def test_a_store_beside_the_primary_has_its_settings_and_another_id(tmp_path: Path) -> None:
    config = opened(tmp_path / "store").config
    assert (config.moment_ms, config.ignored_attributes) == (250, ("flags",))
    assert config.store != "primary"
    assert opened(tmp_path / "store").config == config


def test_in_its_place_it_has_all_that_the_primary_had(tmp_path: Path) -> None:
    """The same file, so that other nodes that knew it find it."""
    wanted = StoreConfig(
        store="primary", created_ms=7, moment_ms=250, ignored_attributes=("flags",)
    )
    assert opened(tmp_path / "store", as_primary=True).config == wanted


@pytest.mark.parametrize("as_primary", [False, True])
@pytest.mark.parametrize("dies_at", ["store", "state", "note"])
def test_one_that_died_while_it_was_made_is_the_same_store_afterwards(
    tmp_path: Path, as_primary: bool, dies_at: str
) -> None:
    path = tmp_path / "store"
    state = path / "state" / node_id()
    files = {
        "store": path / STORE_FILE,
        "state": state / STORE_FILE,
        "note": state / "replay.json",
    }
    with pytest.raises(ConnectionAbortedError):
        opened(path, as_primary=as_primary, disk=FailingDisk(files[dies_at]))
    made = opened(path, as_primary=as_primary)
    assert opened(path, as_primary=as_primary).config == made.config


def test_what_a_state_counted_of_a_lost_store_is_forgotten(tmp_path: Path) -> None:
    path, state = tmp_path / "store", tmp_path / "state"
    config = StoreConfig(
        store="primary", created_ms=7, moment_ms=250, ignored_attributes=("flags",)
    )
    create_store(StoreSettings(path=path, state_path=state), config, Disk())
    path.rename(tmp_path / "lost")
    indexes = [state / "blobs-0.sqlite", state / "process-1" / "blobs-3.sqlite-wal"]
    (state / "process-1").mkdir()
    for file in (*indexes, state / "outbox-mail.sqlite"):
        file.touch()
    with pytest.raises(NoStoreError, match="was set up for the store primary"):
        opened(path, state=state)
    made = opened(path, state=state, as_primary=True)
    assert made.config == config
    assert not any(file.exists() for file in indexes)
    assert (state / "outbox-mail.sqlite").exists()


def test_a_store_that_no_replay_made_is_not_written_to(tmp_path: Path) -> None:
    config = StoreConfig(store="some", created_ms=1, moment_ms=250, ignored_attributes=("flags",))
    create_store(StoreSettings(path=tmp_path), config, Disk())
    with pytest.raises(StoreError, match="no replay of these topics made"):
        opened(tmp_path)


def test_a_replay_of_other_topics_is_not_written_to(tmp_path: Path) -> None:
    opened(tmp_path / "store")
    with pytest.raises(StoreError, match="no replay of these topics made"):
        opened(tmp_path / "store", primary=Primary("another", SETUP))


@pytest.mark.parametrize("as_primary", [False, True])
def test_what_a_replay_began_to_be_it_stays(tmp_path: Path, as_primary: bool) -> None:
    opened(tmp_path / "store", as_primary=as_primary)
    with pytest.raises(UsageError, match="was begun with"):
        opened(tmp_path / "store", as_primary=not as_primary)
    other = StoreSetup(created_ms=7, moment_ms=0, ignored_attributes=("flags",))
    with pytest.raises(UsageError, match="with other settings"):
        opened(tmp_path / "store", setup=other, as_primary=as_primary)


def test_the_state_path_of_the_settings_is_that_of_their_own_store(tmp_path: Path) -> None:
    settings = StoreSettings(path=tmp_path / "store", state_path=tmp_path / "state")
    assert target_settings(settings, tmp_path / "store") == settings
    assert target_settings(settings, tmp_path / "other") == StoreSettings(path=tmp_path / "other")


def test_the_setup_is_that_of_the_store_named_or_of_the_topics(tmp_path: Path) -> None:
    like = create_store(
        StoreSettings(path=tmp_path), StoreConfig(store="some", created_ms=1, moment_ms=3), Disk()
    )
    assert wanted_setup(PRIMARY, None) == SETUP
    assert wanted_setup(PRIMARY, like.root).moment_ms == 3
    with pytest.raises(UsageError, match="do not tell"):
        wanted_setup(Primary("primary"), None)
