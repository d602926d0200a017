"""How far notices of a partition's quarantine are on the bus.

A small file of the owner's epoch, replaced by rename. Where all are lost, or one fails its check,
notices are published again, which says nothing new.
"""

from __future__ import annotations

import contextlib

import msgspec

from streambackup.domain.crc import crc32c
from streambackup.journal.segment import EpochName, PartitionPath
from streambackup.runtime.disk import Disk


class NoticedMark(msgspec.Struct, frozen=True):
    """Whatever was set aside below ``noticed_to`` has its notice on the bus."""

    noticed_to: int
    check: int = 0

    def checksum(self) -> int:
        return crc32c(msgspec.json.encode([self.noticed_to]))


def write_noticed(path: PartitionPath, epoch: EpochName, noticed_to: int, disk: Disk) -> None:
    """Durable on return; all of it or none."""
    mark = NoticedMark(noticed_to)
    mark = msgspec.structs.replace(mark, check=mark.checksum())
    disk.replace(path.directory / f"{epoch}.noticed", msgspec.json.encode(mark))


def noticed_to(path: PartitionPath) -> int:
    """The farthest that any epoch's valid mark says; 0 where there is none."""
    found = 0
    for file in path.directory.glob("*.noticed"):
        with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError, FileNotFoundError):
            mark = msgspec.json.decode(file.read_bytes(), type=NoticedMark)
            if mark.check == mark.checksum():
                found = max(found, mark.noticed_to)
    return found
