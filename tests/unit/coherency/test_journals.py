"""What a check says of journals, marks and partition logs; the rest of the classes is injected in
``tests/scenario/test_check.py``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from streambackup.blobs.loose import LooseBlobs
from streambackup.coherency.check import check_store
from streambackup.domain.digest import digest_of
from streambackup.domain.finding import Finding, FindingClass
from streambackup.events.topics import BLOBS
from streambackup.journal.cover import Cover
from streambackup.journal.frame import NO_RECORD, FrameKind, LastRecord
from streambackup.journal.mark import mark_files
from streambackup.journal.owner import PartitionOwner
from streambackup.journal.payload import Blobs, GivenUp, StoredBlob, encode_payload
from streambackup.journal.segment import PartitionPath
from streambackup.reading.partition_log import partition_logs
from streambackup.testing.events import ACCOUNT, GENERATION, TIME_MS, PartitionLog, put
from streambackup.testing.partition_store import PartitionStore

HOUR_MS = 3_600_000
CONTENT = b"what never came"


@pytest.fixture
def store(tmp_path: Path) -> PartitionStore:
    return PartitionStore(tmp_path / "store")


def blob_owner(store: PartitionStore) -> PartitionOwner:
    path = PartitionPath(store.root, GENERATION, BLOBS, 0)
    return PartitionOwner(path, store.disk, store.identity, 1, Cover())


def journal_blobs(owner: PartitionOwner, given_up: list[GivenUp]) -> None:
    stored = [StoredBlob(digest_of(b"x"), 1, 1, owner.position)]
    payload = encode_payload(Blobs(stored, [], given_up, []))
    owner.append(FrameKind.BLOBS, payload, owner.position + 1, LastRecord(1, TIME_MS))


def findings(store: PartitionStore) -> list[Finding]:
    return list(check_store(store.root).findings)


def flip(file: Path, at: int) -> None:
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)


def test_an_upload_that_was_given_up_is_a_note_until_its_content_is_there(
    store: PartitionStore,
) -> None:
    upload = GivenUp(digest_of(CONTENT), "u1", 4, 7, len(CONTENT))
    journal_blobs(blob_owner(store), [upload])
    (found,) = findings(store)
    assert (found.finding, found.is_fault) == (FindingClass.ABANDONED_UPLOAD, False)
    assert (found.digest, found.offset) == (upload.digest, 4)
    assert f"7 of {len(CONTENT)} bytes came" in found.what

    path = LooseBlobs(store.root).path_of(upload.digest)
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    assert FindingClass.ABANDONED_UPLOAD not in {found.finding for found in findings(store)}


@pytest.mark.row("F092")
def test_a_damaged_frame_of_a_blob_journal_is_a_fault(store: PartitionStore) -> None:
    owner = blob_owner(store)
    for _ in range(3):
        journal_blobs(owner, [])
    assert owner.segment is not None
    file = owner.path.path_of(owner.segment)
    assert findings(store) == []
    flip(file, file.stat().st_size // 2)
    damaged, missing = findings(store)

    assert (damaged.finding, damaged.path) == (FindingClass.DAMAGED_FRAME, str(file))
    assert (missing.finding, missing.path) == (
        FindingClass.MISSING_FRAMES,
        str(owner.path.directory),
    )
    assert missing.is_fault


@pytest.mark.parametrize("damaged", ["mark", "partition log"])
@pytest.mark.row("F092")
def test_a_damaged_mark_or_partition_log_is_a_fault(store: PartitionStore, damaged: str) -> None:
    owner = store.own()
    log = PartitionLog([put("m", 1)])
    log.add_raw(ACCOUNT.encode(), b"junk")
    store.journal(owner, log.records)
    store.file(owner)
    assert findings(store) == []
    ((_, mark),) = mark_files(store.path)
    (file,) = [mark] if damaged == "mark" else partition_logs(store.path)
    flip(file, 20)

    assert (FindingClass.DAMAGED_LINE, str(file)) in {
        (found.finding, found.path) for found in findings(store)
    }


def test_a_damaged_line_of_a_partition_log_is_told_by_its_number(store: PartitionStore) -> None:
    log = PartitionLog()
    for _ in range(3):
        log.add_raw(ACCOUNT.encode(), b"junk")
    owner = store.own()
    store.journal(owner, log.records)
    store.file(owner)
    (file,) = partition_logs(store.path)
    flip(file, file.read_bytes().index(b"\n") + 20)
    with file.open("ab") as opened:
        opened.write(b'{"kind":')

    told = [found.what for found in findings(store) if found.path == str(file)]
    assert told == [
        "line 2 fails its check",
        "line 4 fails its check: the end of a filing that did not finish",
    ]


def test_what_is_read_is_told_while_it_is(store: PartitionStore) -> None:
    owner = store.own()
    store.journal(owner, PartitionLog([put("m", 1)]).records)
    journal_blobs(blob_owner(store), [])
    told: list[tuple[str, int]] = []
    check_store(store.root, lambda what, count: told.append((what, count)))

    assert told == [("segments", 1), ("segments", 2), ("accounts", 1)]


def test_what_a_transaction_claims_is_noted_and_no_fault(store: PartitionStore) -> None:
    """A time far ahead of its publication; other content under an id that was used."""
    log = PartitionLog()
    log.add(put("m", 1, n=1, time_ms=TIME_MS + HOUR_MS), published_ms=TIME_MS)
    log.add(put("m", 1, n=2, time_ms=TIME_MS + HOUR_MS), published_ms=TIME_MS)
    owner = store.own()
    store.journal(owner, log.records)
    store.file(owner)

    assert {(found.finding, found.is_fault, found.account) for found in findings(store)} == {
        (FindingClass.TIME_AHEAD, False, ACCOUNT),
        (FindingClass.CONFLICTING_TRANSACTION, False, ACCOUNT),
    }


def test_frames_that_follow_each_other_leave_no_hole_whatever_epoch_has_them(
    store: PartitionStore,
) -> None:
    first = blob_owner(store)
    journal_blobs(first, [])
    journal_blobs(first, [])
    second = PartitionOwner(first.path, store.disk, store.identity, 2, Cover(1, NO_RECORD))
    for _ in range(3):
        journal_blobs(second, [])
    third = PartitionOwner(first.path, store.disk, store.identity, 3, Cover(4, NO_RECORD))
    journal_blobs(third, [])
    assert findings(store) == []

    beyond = PartitionOwner(first.path, store.disk, store.identity, 4, Cover(7, NO_RECORD))
    journal_blobs(beyond, [])
    (found,) = findings(store)
    assert (found.finding, found.offset) == (FindingClass.MISSING_FRAMES, 5)
    assert found.what == "no frame covers the offsets 5 to 6"
