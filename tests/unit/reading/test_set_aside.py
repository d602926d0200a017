"""Everything that was set aside is found, filed or not, of both topics, each record once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from streambackup.domain.origin import Origin
from streambackup.errors import UsageError
from streambackup.events.topics import BLOBS, TRANSACTIONS
from streambackup.journal.frame import FrameKind, LastRecord
from streambackup.journal.owner import PartitionOwner, inherit
from streambackup.journal.payload import Blobs, Quarantined, encode_payload
from streambackup.journal.segment import PartitionPath
from streambackup.reading.partition_log import partition_logs
from streambackup.reading.set_aside import SetAside, moved_aside, set_aside_records
from streambackup.runtime.disk import Disk
from streambackup.testing.events import ACCOUNT, GENERATION, TIME_MS, PartitionLog, put
from streambackup.testing.partition_store import PartitionStore, identity

KEY = ACCOUNT.encode()


def found(store: PartitionStore) -> list[SetAside]:
    return list(set_aside_records(store.root))


def test_records_are_found_before_and_after_they_are_filed_and_once(tmp_path: Path) -> None:
    store = PartitionStore(tmp_path)
    log = PartitionLog([put("m1", 1, folder="f")])
    log.add_raw(KEY, b"junk", TIME_MS + 5)
    owner = store.own()
    store.journal(owner, log.records)
    unfiled = found(store)
    store.file(owner)
    filed = found(store)
    (file,) = partition_logs(store.path)
    shutil.copy(file, file.with_name(f"0000000009-{'9' * 16}.partition.jsonl"))
    log.add_raw(None, None)
    store.journal(owner, log.records)

    (record,) = unfiled
    assert record.origin == Origin(TRANSACTIONS, GENERATION, 0, 1)
    assert (record.published_ms, record.key, record.value) == (TIME_MS + 5, KEY, b"junk")
    assert (record.account, record.size) == (ACCOUNT, 4)
    assert "not an event" in record.reason
    assert filed == unfiled
    assert [(one.origin.offset, one.account) for one in found(store)] == [(1, ACCOUNT), (2, None)]


def test_records_of_content_are_found_once_whoever_set_them_aside(tmp_path: Path) -> None:
    store = PartitionStore(tmp_path)
    path = PartitionPath(tmp_path, GENERATION, BLOBS, 0)
    aside = Quarantined(3, TIME_MS, "the upload's beginning is missing", b"digest", b"value")
    for _ in range(2):
        cover, epoch, _ = inherit(path, Disk())
        owner = PartitionOwner(path, Disk(), identity(), epoch, cover)
        frame = encode_payload(Blobs([], [], [], [aside]))
        owner.append(FrameKind.BLOBS, frame, cover.end + 4, LastRecord(1, TIME_MS))

    (record,) = found(store)
    assert str(record.origin) == f"{BLOBS}/{GENERATION}/0/3"
    assert (record.named, record.account) == ("digest", None)


def test_damaged_files_are_found_where_they_were_moved(tmp_path: Path) -> None:
    aside = tmp_path / "quarantine" / "journal" / GENERATION / TRANSACTIONS / "0"
    aside.mkdir(parents=True)
    (aside / "a.journal").write_bytes(b"x")

    assert moved_aside(tmp_path) == [aside / "a.journal"]


def test_an_origin_is_read_as_it_is_written() -> None:
    origin = Origin(TRANSACTIONS, GENERATION, 12, 4711)

    assert str(origin) == f"mailbox.transactions/{GENERATION}/12/4711"
    assert Origin.parse(str(origin)) == origin


@pytest.mark.parametrize("text", ["", "a/b/c/d", f"../{GENERATION}/0/1", f"t/{GENERATION}/0/-1"])
def test_what_is_no_origin_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not the origin of a record"):
        Origin.parse(text)
