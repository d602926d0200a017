"""One service per store with the embedded bus; anybody may ask without taking."""

from __future__ import annotations

from pathlib import Path

import pytest

from streambackup.errors import StoreBusyError
from streambackup.service.store_lock import is_locked, store_lock


def test_a_second_service_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    with (
        store_lock(tmp_path, exclusive=True),
        pytest.raises(StoreBusyError) as caught,
        store_lock(tmp_path, exclusive=True),
    ):
        pass
    assert str(tmp_path) in caught.value.message
    with store_lock(tmp_path, exclusive=True):
        assert is_locked(tmp_path)


def test_services_of_one_broker_share(tmp_path: Path) -> None:
    with store_lock(tmp_path, exclusive=False), store_lock(tmp_path, exclusive=False):
        assert is_locked(tmp_path)
        with pytest.raises(StoreBusyError), store_lock(tmp_path, exclusive=True):
            pass


def test_asking_takes_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    assert not is_locked(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with store_lock(tmp_path, exclusive=True):
        pass
    assert not is_locked(tmp_path)
