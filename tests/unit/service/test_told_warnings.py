"""What a service tells of its sources where nobody can ask it."""

from __future__ import annotations

from pathlib import Path

import pytest

from streambackup.runtime.disk import Disk
from streambackup.service.store_home import StoreHome
from streambackup.service.store_lock import sources_lock
from streambackup.service.told_warnings import (
    NOT_SAID,
    WARNINGS_FILE,
    tell_warnings,
    told_warnings,
)
from streambackup.testing.partition_store import PartitionStore


@pytest.fixture
def home(tmp_path: Path) -> StoreHome:
    return StoreHome(tmp_path, tmp_path, "node", PartitionStore(tmp_path).reader().config)


def test_what_was_told_last_is_read(home: StoreHome) -> None:
    for warnings in ([], ["ann: away", "bob: \x1b ü"]):
        tell_warnings(home, warnings, Disk())
        with sources_lock(home.state):
            assert told_warnings(home) == warnings
    assert told_warnings(home) == []  # Nobody watches any more.


@pytest.mark.parametrize("found", [None, b"", b"{}", b'["half', b"\xff"])
def test_what_cannot_be_read_is_not_taken_for_no_warning(
    home: StoreHome, found: bytes | None
) -> None:
    if found is not None:
        (home.state / WARNINGS_FILE).write_bytes(found)
    with sources_lock(home.state):
        assert told_warnings(home) == [NOT_SAID]
