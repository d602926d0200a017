"""One service per store, whatever the bus; anybody may ask without taking."""

from __future__ import annotations

from pathlib import Path

import pytest

from streambackup.errors import StoreBusyError
from streambackup.metadata.store_config import StoreConfig
from streambackup.runtime.disk import Disk
from streambackup.service.settings import BusSettings, KafkaSettings, Settings, StoreSettings
from streambackup.service.store_home import create_store, new_store_id
from streambackup.service.store_lock import is_locked, store_lock
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


async def test_with_kafka_too_a_second_service_is_refused(tmp_path: Path) -> None:
    """Before it asks the broker, so there is none here."""
    settings = Settings(
        store=StoreSettings(path=tmp_path / "store"),
        bus=BusSettings(kind="kafka", kafka=KafkaSettings(bootstrap_servers="127.0.0.1:1")),
    )
    clock = ManualClock()
    wanted = StoreConfig(store=new_store_id(), created_ms=0, moment_ms=100)
    home = create_store(settings.store, wanted, Disk())
    with store_lock(home.root), pytest.raises(StoreBusyError, match="another service works on"):
        await run_service(settings, ALL_ROLES, clock=clock)


def test_asking_takes_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    assert not is_locked(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with store_lock(tmp_path):
        pass
    assert not is_locked(tmp_path)
