"""An account whose id is too long for a file name keeps it in a file beside its log."""

from __future__ import annotations

from pathlib import Path

from streambackup.domain.crc import crc32c
from streambackup.journal.cover import Cover
from streambackup.journal.frame import FrameKind, LastRecord
from streambackup.journal.mark import FiledMark
from streambackup.journal.owner import PartitionOwner, StoreIdentity
from streambackup.journal.payload import Records, encode_payload
from streambackup.journal.segment import PartitionPath
from streambackup.metadata.account_log import ACCOUNT_FILE, account_directory, list_accounts
from streambackup.realtime.filing import FilingRequest, file_partition
from streambackup.runtime.disk import Disk
from streambackup.testing.epochs import PLACE
from streambackup.testing.events import GENERATION, MOMENT_MS, PartitionLog, delete

LONG = "ä" * 200
TOPIC = "mailbox.transactions"
IDENTITY = StoreIdentity(store="s", node="n", moment_ms=MOMENT_MS, ignored_attributes=())


def file_one(root: Path, epoch: int) -> None:
    """Journal one more record of the account and file it, in an epoch of its own."""
    path = PartitionPath(root, GENERATION, TOPIC, 0)
    disk = Disk()
    owner = PartitionOwner(path, disk, IDENTITY, epoch, Cover(end=epoch - 1))
    records = [PartitionLog([delete("1", epoch, account=LONG)]).records[0]]
    last = LastRecord(crc32c(b""), 0)
    owner.append(FrameKind.RECORDS, encode_payload(Records.of(records)), epoch, last)
    owner.seal()
    mark = FiledMark(epoch, last.crc, 0, 0)
    request = FilingRequest(root, TOPIC, PLACE, *owner.epoch, MOMENT_MS, mark)
    file_partition(request, disk)


def test_the_true_id_is_beside_the_log(tmp_path: Path) -> None:
    file_one(tmp_path, 1)

    assert list(list_accounts(tmp_path)) == [(LONG, account_directory(tmp_path, LONG))]


def test_an_id_that_a_crash_took_is_written_by_the_next_filing(tmp_path: Path) -> None:
    file_one(tmp_path, 1)
    name = account_directory(tmp_path, LONG) / ACCOUNT_FILE
    name.unlink()

    file_one(tmp_path, 2)

    assert name.read_bytes() == LONG.encode()
