"""Which files of blobs on their way a new owner may take away."""

from __future__ import annotations

from pathlib import Path

import pytest

from streambackup.journal.cover import Cover
from streambackup.journal.owner import PartitionOwner, StoreIdentity
from streambackup.journal.segment import PartitionPath
from streambackup.realtime.blob_incoming import incoming_name, is_superseded
from streambackup.runtime.disk import Disk

IDENTITY = StoreIdentity(store="s", node="n", moment_ms=100, ignored_attributes=())
OTHER = "0123456789abcdef"


@pytest.mark.parametrize(
    ("name", "superseded"),
    [
        (f"now-3-0000000004-{OTHER}", True),
        (f"now-3-0000000005-{OTHER}", True),
        (f"now-3-0000000006-{OTHER}", False),
        (f"now-4-0000000004-{OTHER}", False),
        (f"before-3-0000000009-{OTHER}", True),
        (f"another-3-0000000001-{OTHER}", False),
        ("something else", False),
    ],
)
def test_only_turns_before_its_own_are_superseded(name: str, superseded: bool) -> None:
    path = PartitionPath(Path("store"), "now", "mailbox.blobs", 3)
    owner = PartitionOwner(path, Disk(), IDENTITY, 5, Cover())

    assert is_superseded(name, owner, "before") is superseded
    assert not is_superseded(incoming_name(owner), owner, "before")
