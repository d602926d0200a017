"""Who may work on a store beside whom; anybody may ask without taking."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from streambackup.errors import BusError, StoreBusyError, StreamBackupError
from streambackup.metadata.store_config import StoreConfig
from streambackup.runtime.disk import Disk
from streambackup.service.settings import BusSettings, KafkaSettings, Settings, StoreSettings
from streambackup.service.store_home import create_store, new_store_id
from streambackup.service.store_lock import (
    is_locked,
    process_directory,
    sources_lock,
    store_lock,
    watches_sources,
)
from streambackup.service.supervisor import ALL_ROLES, run_service
from tests.support.manual_clock import ManualClock


def test_a_second_service_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    with (
        store_lock(tmp_path),
        pytest.raises(StoreBusyError) as caught,
        store_lock(tmp_path),
    ):
        pass
    assert str(tmp_path) in caught.value.message
    with store_lock(tmp_path):
        assert is_locked(tmp_path)


def test_services_that_share_a_store_keep_out_one_that_does_not(tmp_path: Path) -> None:
    with store_lock(tmp_path, shared=True), store_lock(tmp_path, shared=True):
        assert is_locked(tmp_path)
        with pytest.raises(StoreBusyError), store_lock(tmp_path):
            pass
    with store_lock(tmp_path), pytest.raises(StoreBusyError), store_lock(tmp_path, shared=True):
        pass
    assert not is_locked(tmp_path)


@pytest.mark.parametrize(("bus", "error"), [("embedded", StoreBusyError), ("kafka", BusError)])
async def test_with_kafka_a_store_has_as_many_services_as_one_likes(
    tmp_path: Path, bus: Literal["embedded", "kafka"], error: type[StreamBackupError]
) -> None:
    """The second one comes as far as the broker, which is not there."""
    settings = Settings(
        store=StoreSettings(path=tmp_path / "store"),
        bus=BusSettings(kind=bus, kafka=KafkaSettings(bootstrap_servers="127.0.0.1:1")),
    )
    clock = ManualClock()
    wanted = StoreConfig(store=new_store_id(), created_ms=0, moment_ms=100)
    home = create_store(settings.store, wanted, Disk())
    with store_lock(home.root, shared=bus == "kafka"), pytest.raises(error):
        await run_service(settings, ALL_ROLES, clock=clock)


def test_processes_of_a_node_have_caches_of_their_own_and_leave_them_to_the_next(
    tmp_path: Path,
) -> None:
    disk = Disk()
    with process_directory(tmp_path, disk) as first:
        with process_directory(tmp_path, disk) as second:
            (second / "cache").touch()
            with process_directory(tmp_path, disk) as third:
                assert len({first, second, third}) == 3
        with process_directory(tmp_path, disk) as next_one:
            assert (next_one / "cache").exists()
    assert first == tmp_path


def test_the_sources_of_a_node_are_watched_by_one_process(tmp_path: Path) -> None:
    assert not watches_sources(tmp_path)
    with (
        sources_lock(tmp_path),
        pytest.raises(StoreBusyError, match="watches its sources"),
        sources_lock(tmp_path),
    ):
        pass
    with sources_lock(tmp_path):
        assert watches_sources(tmp_path)


def test_asking_takes_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    assert not is_locked(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with store_lock(tmp_path):
        pass
    assert not is_locked(tmp_path)
