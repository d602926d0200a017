"""Whose files of blobs on their way are whose: each turn at a partition has a directory."""

from __future__ import annotations

import re

from streambackup.journal.owner import PartitionOwner

_NAME = re.compile(r"^(?P<generation>.+)-(?P<partition>\d+)-(?P<number>\d{10})-[0-9a-f]{16}$")


def incoming_name(owner: PartitionOwner) -> str:
    """Of the directory in ``items/incoming`` that only *owner* writes to."""
    return f"{owner.path.generation}-{owner.path.partition}-{owner.epoch}"


def is_superseded(name: str, owner: PartitionOwner, predecessor: str | None) -> bool:
    """Whether the directory *name* is of a turn that *owner* has taken over from: what is in it
    belongs to no frame, and *owner* reads the same chunks again.

    So is an epoch of the same number, whose owner was killed before its first frame. Should one be
    at work all the same, it finds its files gone and begins anew, with nothing lost. Turns in other
    lives than the *predecessor* are left alone.
    """
    found = _NAME.match(name)
    if found is None or int(found["partition"]) != owner.path.partition:
        return False
    if found["generation"] == owner.path.generation:
        return int(found["number"]) <= owner.epoch.number and name != incoming_name(owner)
    return found["generation"] == predecessor
