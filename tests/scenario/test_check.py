"""Whatever is wrong in a backup path is found, called by its class, and left as it is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from streambackup.blobs.loose import LooseBlobs
from streambackup.coherency.check import CheckReport, check_store
from streambackup.domain.digest import digest_of
from streambackup.domain.finding import Finding, FindingClass
from tests.support.backup import Backup, tree_of

pytestmark = pytest.mark.scenario

ANN, BEN = "ann@example.org", "ben@example.org"
MAIL, NOTE = b"Subject: Hi\n\nhello\n" * 9, b"a note\n"
FOLDER = {"account": ANN, "item": "in", "type": "folder", "state": {"name": "Inbox"}}
LINES = [
    {"account": ANN, "item": "1", "type": "message", "state": {"folder": "in"}, "file": "mail"},
    {"account": BEN, "item": "2", "type": "document", "state": {"name": "n"}, "file": "note"},
]
FILES = {"mail": MAIL, "note": NOTE}


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose service was stopped cleanly."""
    backup = Backup(tmp_path_factory.mktemp("check") / "clean").init()
    backup.recorded([FOLDER, *LINES], files=FILES)
    return backup.path


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose service was killed twice, before anything was filed."""
    settings = {"worker.segment_age_s": 3600}
    backup = Backup(tmp_path_factory.mktemp("check") / "killed", settings=settings).init()
    for line in LINES:
        with backup.service() as running:
            backup.publish([{**line, "account": ANN}], files=FILES)
            running.wait_until_caught_up()
            running.kill()
    # The second may have been fast enough to file what the first had left.
    shutil.rmtree(backup.path / "accounts", ignore_errors=True)
    for kind in ("filed", "partition.jsonl"):
        for file in backup.path.glob(f"journal/*/mailbox.transactions/*/*.{kind}"):
            file.unlink()
    return backup.path


def flip(file: Path, at: int) -> None:
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)


def append(file: Path, data: bytes) -> Path:
    with file.open("ab") as opened:
        opened.write(data)
    return file


def blob(root: Path, content: bytes) -> Path:
    return LooseBlobs(root).path_of(digest_of(content))


def log_of(root: Path, account: str) -> Path:
    (log,) = root.glob(f"accounts/*/{account}/*.jsonl")
    return log


def segments(root: Path) -> list[Path]:
    """Of the transactions' journal, those with records of Ann, the oldest first."""
    files = sorted(root.glob("journal/*/mailbox.transactions/*/*.journal"))
    return [file for file in files if ANN.encode() in file.read_bytes()]


def torn_journal(root: Path) -> Path:
    journal = segments(root)[-1]
    return append(journal, journal.read_bytes()[8:50])


def torn_log(root: Path) -> Path:
    return append(log_of(root, ANN), b'{"generation":"')


def unnamed_blob(root: Path) -> Path:
    stray = b"nobody knows me"
    blob(root, stray).parent.mkdir(exist_ok=True)
    blob(root, stray).write_bytes(stray)
    return blob(root, stray)


def leftover_file(root: Path) -> Path:
    file = root / "items" / "incoming" / "0-epoch" / "1"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"half")
    return file


def damaged_frame(root: Path) -> Path:
    """The first frame, with others behind it."""
    flip(segments(root)[0], 60)
    return segments(root)[0]


def damaged_line(root: Path) -> Path:
    """The first of Ann's, which names no content."""
    flip(log_of(root, ANN), 40)
    return log_of(root, ANN)


def missing_frames(root: Path) -> Path:
    """The older of two epochs is gone, with what it alone held."""
    segments(root)[0].unlink()
    return segments(root)[0].parent


def missing_blob(root: Path) -> None:
    blob(root, MAIL).unlink()


def damaged_blob(root: Path) -> Path:
    flip(blob(root, MAIL), 20)
    return blob(root, MAIL)


def orphaned_metadata(root: Path) -> Path:
    """An account log that an epoch of another store wrote."""
    log = log_of(root, ANN)
    number, _, _ = log.name.partition("-")
    return Path(shutil.copy(log, log.with_name(f"{number}-{'0' * 16}.jsonl")))


def missing_lines(root: Path) -> Path:
    """The first of Ann's, which names no content, is gone; a segment says it was filed."""
    log = log_of(root, ANN)
    log.write_bytes(log.read_bytes().partition(b"\n")[2])
    return log.parent


class Injected(NamedTuple):
    """Something wrong: what does it to a store, and the class that it has."""

    inject: Callable[[Path], Path | None]
    finding: FindingClass
    is_fault: bool


CLASSES = [
    Injected(torn_journal, FindingClass.TORN_TAIL, is_fault=False),
    Injected(torn_log, FindingClass.TORN_TAIL, is_fault=False),
    Injected(unnamed_blob, FindingClass.UNNAMED_BLOB, is_fault=False),
    Injected(leftover_file, FindingClass.LEFTOVER_FILE, is_fault=False),
    Injected(damaged_frame, FindingClass.DAMAGED_FRAME, is_fault=True),
    Injected(damaged_line, FindingClass.DAMAGED_LINE, is_fault=True),
    Injected(missing_lines, FindingClass.MISSING_LINES, is_fault=True),
    Injected(missing_blob, FindingClass.MISSING_BLOB, is_fault=True),
    Injected(damaged_blob, FindingClass.DAMAGED_BLOB, is_fault=True),
    Injected(orphaned_metadata, FindingClass.ORPHANED_METADATA, is_fault=True),
]


def injected(store: Path, inject: Callable[[Path], Path | None], root: Path) -> CheckReport:
    """What a check of a copy finds after *inject*; it names the file, and changes nothing."""
    shutil.copytree(store, root)
    path = inject(root)
    before = tree_of(root)
    report = check_store(root)
    assert tree_of(root) == before
    assert path is None or str(path) in {finding.path for finding in report.findings}
    return report


@pytest.mark.row("F092")
@pytest.mark.parametrize("wrong", CLASSES, ids=lambda wrong: wrong.inject.__name__)
def test_each_class_is_found_and_nothing_else(wrong: Injected, clean: Path, tmp_path: Path) -> None:
    report = injected(clean, wrong.inject, tmp_path / "copy")
    assert {finding.finding for finding in report.findings} == {wrong.finding}
    assert {finding.is_fault for finding in report.findings} == {wrong.is_fault}


@pytest.mark.row("F092")
def test_of_a_store_that_was_stopped_cleanly_there_is_nothing_to_find(clean: Path) -> None:
    report = check_store(clean)
    assert report.findings == ()
    assert (report.accounts, report.items, report.states, report.blobs) == (2, 3, 3, 2)
    assert report.blob_bytes == len(MAIL) + len(NOTE)


@pytest.mark.row("F092")
def test_what_a_kill_leaves_is_no_fault_and_a_lost_segment_of_it_is(
    killed: Path, tmp_path: Path
) -> None:
    assert {finding.finding for finding in check_store(killed).findings} == {
        FindingClass.UNFILED_SEGMENT
    }
    report = injected(killed, missing_frames, tmp_path / "copy")
    assert [fault.finding for fault in report.faults] == [FindingClass.MISSING_FRAMES]


@pytest.mark.row("F093")
def test_any_flipped_byte_of_content_is_found_with_its_item_and_account(
    clean: Path, tmp_path: Path
) -> None:
    """Behind the ten bytes of a gzip header, of which some mean nothing."""
    root = tmp_path / "copy"
    shutil.copytree(clean, root)
    file = blob(root, MAIL)
    for at in range(10, file.stat().st_size):
        flip(file, at)
        (found,) = check_store(root).findings
        assert found.finding == FindingClass.DAMAGED_BLOB
        assert (found.account, found.item, found.digest) == (ANN, "1", digest_of(MAIL))
        flip(file, at)


@pytest.mark.row("F094")
def test_blobs_without_metadata_and_metadata_without_origin_are_told_apart(
    clean: Path, tmp_path: Path
) -> None:
    root = tmp_path / "copy"
    shutil.copytree(clean, root)
    stray, orphan = unnamed_blob(root), orphaned_metadata(root)
    found = {finding.finding: finding.path for finding in check_store(root).findings}
    assert found == {
        FindingClass.UNNAMED_BLOB: str(stray),
        FindingClass.ORPHANED_METADATA: str(orphan),
    }


def test_faults_have_an_exit_code_of_their_own_and_notes_have_none(
    clean: Path, tmp_path: Path
) -> None:
    backup = Backup(tmp_path / "b")
    shutil.copytree(clean, backup.path)
    torn_log(backup.path)
    assert backup.ask("check").text.endswith("0 faults, 1 note\n")
    missing_blob(backup.path)
    answer = backup.ask("check", "--json", code=15)
    classes = [finding["finding"] for finding in answer.json["findings"]]
    assert sorted(classes) == ["missing-blob", "torn-tail"]
    assert "1 fault, the first" in answer.errors


def test_a_finding_says_what_cures_it(clean: Path, tmp_path: Path) -> None:
    def cure(inject: Callable[[Path], Path | None]) -> str:
        found: Finding = injected(clean, inject, tmp_path / inject.__name__).faults[0]
        return found.cure or ""

    assert "Publish the content again" in cure(missing_blob)
    assert "Move the file away" in cure(damaged_blob)
