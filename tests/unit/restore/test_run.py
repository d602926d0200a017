"""A restore run: what it brings back, what it says of the rest, and that it can be repeated."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import msgspec
import pytest

from streambackup.domain.digest import digest_of
from streambackup.domain.history import ItemState
from streambackup.errors import (
    BlobDamagedError,
    BlobMissingError,
    BlobPendingError,
    BusError,
    IncompleteError,
    InterruptedRunError,
    StoreError,
    StreamBackupError,
    TargetError,
)
from streambackup.restore.report import Failure
from streambackup.restore.run import BATCH_ITEMS_MAX, Progress
from streambackup.restore.select import AsOf, DeletedBetween, OneItem
from streambackup.targets.files import FilesTarget
from streambackup.targets.maildir import MaildirTarget
from streambackup.targets.port import Placed, ReadBack, RestoredItem
from streambackup.testing.memory_store import MemoryStore
from tests.contract.target_contract import tree
from tests.unit.restore.restoring import (
    KINDS,
    Kind,
    added_up,
    content,
    contents_below,
    mailbox,
    restore,
    start,
)

each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


class LyingTarget(FilesTarget):
    """Reads back something else than what is there."""

    def read(self, name: str) -> ReadBack:
        found = super().read(name)
        return ReadBack(found.digest and digest_of(b"!"), found.kept)


class FailingTarget(FilesTarget):
    """Its disk is full at the third message."""

    def put(self, item: RestoredItem) -> Placed:
        if item.item == "m2":
            raise TargetError("no space left")
        return super().put(item)


@each_kind
def test_everything_selected_comes_back_with_the_same_bytes(kind: Kind, tmp_path: Path) -> None:
    report = restore(mailbox(5), kind.open(tmp_path), tmp_path, verify=True)
    assert contents_below(tmp_path) == [content(number) for number in range(5)]
    assert (report.restored, report.verified, report.skipped) == (6, 6, 0)
    assert report.restored_bytes == sum(len(content(number)) for number in range(5))
    assert report.complete
    report.raise_if_incomplete()


@each_kind
@pytest.mark.row("F130")
def test_a_second_run_skips_and_counts_everything(kind: Kind, tmp_path: Path) -> None:
    store = mailbox(5)
    restore(store, kind.open(tmp_path), tmp_path)
    before = contents_below(tmp_path)
    report = restore(store, kind.open(tmp_path), tmp_path, verify=True)
    assert (report.restored, report.skipped, report.folders_made) == (0, 6, 0)
    assert report.complete
    assert contents_below(tmp_path) == before


@each_kind
@pytest.mark.row("F131")
def test_extra_items_at_the_destination_survive(kind: Kind, tmp_path: Path) -> None:
    """Those that stood there before, and those that came between two runs."""
    restore(mailbox(2), kind.open(tmp_path), tmp_path)
    for directory in {path.parent for path in tmp_path.rglob("*") if contents_of(path)}:
        (directory / "1700000000.extra.example:2,S").write_bytes(b"extra")
    before = tree(tmp_path)
    store = mailbox(3)
    store.delete("anna", "m0", time_ms=900)
    assert restore(store, kind.open(tmp_path), tmp_path).complete
    after = tree(tmp_path)
    id_map = "id_mapper-5f1e.jsonl"
    assert before.items() - {(id_map, before[id_map])} <= after.items()
    assert content(2) in after.values()


@each_kind
def test_a_later_run_brings_only_what_is_new(kind: Kind, tmp_path: Path) -> None:
    store = mailbox(3)
    restore(store, kind.open(tmp_path), tmp_path, as_of=AsOf(instant_ms=201))
    report = restore(store, kind.open(tmp_path), tmp_path)
    assert (report.restored, report.skipped) == (1, 3)
    assert contents_below(tmp_path) == [content(number) for number in range(3)]


@each_kind
def test_what_was_deleted_at_the_destination_comes_again(kind: Kind, tmp_path: Path) -> None:
    store = mailbox(3)
    restore(store, kind.open(tmp_path), tmp_path)
    gone = next(path for path in tmp_path.rglob("*") if contents_of(path) == content(1))
    gone.unlink()
    report = restore(store, kind.open(tmp_path), tmp_path)
    assert (report.restored, report.skipped) == (1, 3)
    assert contents_below(tmp_path) == [content(number) for number in range(3)]


def contents_of(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


@each_kind
def test_a_transaction_without_change_in_between_brings_no_double(
    kind: Kind, tmp_path: Path
) -> None:
    store = mailbox(1)
    restore(store, kind.open(tmp_path), tmp_path)
    state = {"folder": "in", "subject": "mail 0", "flags": ["seen"]}
    store.put("anna", "m0", "message", state, content(0), time_ms=900)
    assert restore(store, kind.open(tmp_path), tmp_path).skipped == 2
    assert contents_below(tmp_path) == [content(0)]


def test_one_item_can_be_had_in_two_of_its_states(tmp_path: Path) -> None:
    store = mailbox(1)
    state = {"folder": "in", "subject": "mail 0", "flags": []}
    store.put("anna", "m0", "message", state, b"edited", time_ms=900)
    for instant_ms in (899, 900):
        as_of = AsOf(instant_ms=instant_ms)
        target = FilesTarget(tmp_path, "anna")
        assert restore(store, target, tmp_path, OneItem("m0"), as_of).restored == 1
    assert contents_below(tmp_path) == sorted([content(0), b"edited"])


def test_two_accounts_in_one_tree_have_one_id_map(tmp_path: Path) -> None:
    store = mailbox(2)
    for into in ("anna", "bert", "anna", "bert"):
        restore(store, FilesTarget(tmp_path, into), tmp_path)
    assert contents_below(tmp_path / "anna") == [content(0), content(1)]
    assert contents_below(tmp_path / "bert") == [content(0), content(1)]
    assert len((tmp_path / "id_mapper-5f1e.jsonl").read_bytes().splitlines()) == 6


def test_undelete_brings_the_deleted_and_nothing_else(tmp_path: Path) -> None:
    store = mailbox(4)
    for number, time_ms in ((0, 500), (1, 600), (2, 700)):
        store.delete("anna", f"m{number}", time_ms=time_ms)
    target = MaildirTarget(tmp_path, "anna")
    report = restore(store, target, tmp_path, DeletedBetween(600, 700), verify=True)
    assert (report.selected, report.restored) == (1, 1)
    assert contents_below(tmp_path) == [content(1)]


def test_many_batches_are_one_restore(tmp_path: Path) -> None:
    total = 2 * BATCH_ITEMS_MAX + 7
    told: list[Progress] = []
    store = mailbox(total - 1)
    run = start(store, MaildirTarget(tmp_path, "anna"), tmp_path, progress=told.append)
    run.run()
    assert [progress.done for progress in told] == [BATCH_ITEMS_MAX, 2 * BATCH_ITEMS_MAX, total]
    assert {progress.selected for progress in told} == {total}
    assert told[-1].restored_bytes == run.report().restored_bytes > 0
    assert len(contents_below(tmp_path)) == total - 1


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (BlobMissingError("gone"), Failure.READ_ERROR),
        (BlobPendingError("not yet"), Failure.READ_ERROR),
        (StoreError("the disk says no"), Failure.READ_ERROR),
        (BusError("the bus is away"), Failure.READ_ERROR),
        (BlobDamagedError("not what its digest says"), Failure.BROKEN),
    ],
    ids=lambda value: type(value).__name__,
)
def test_content_that_cannot_be_had_leaves_its_item_and_no_other(
    tmp_path: Path, error: StreamBackupError, failure: Failure
) -> None:
    store = mailbox(3)
    store.failures[digest_of(content(1))] = error
    report = restore(store, FilesTarget(tmp_path, "anna"), tmp_path)
    (missing,) = report.unrestored
    assert (missing.item, missing.failure, missing.reason) == ("m1", failure, error.message)
    assert (missing.type, missing.salvage) == ("message", None)
    assert report.restored == 3
    assert not report.complete
    with pytest.raises(IncompleteError, match="1 of 4"):
        report.raise_if_incomplete()


def test_what_the_target_refuses_is_invalid(tmp_path: Path) -> None:
    store = mailbox(1)
    store.put("anna", "c", "contact", {"folder": "in"}, b"BEGIN:VCARD", time_ms=300)
    report = restore(store, MaildirTarget(tmp_path, "anna"), tmp_path)
    (refused,) = report.unrestored
    assert (refused.item, refused.failure, refused.salvage) == ("c", Failure.INVALID, None)
    assert report.restored == 2


def test_a_broken_state_is_reported_and_an_earlier_good_one_named(tmp_path: Path) -> None:
    store = mailbox(1)
    good = store.put("anna", "m0", "message", {"folder": "in", "flags": []}, b"x", time_ms=500)
    store.put("anna", "m0", "message", {"folder": 7}, b"y", time_ms=600)
    report = restore(store, FilesTarget(tmp_path, "anna"), tmp_path)
    (broken,) = report.unrestored
    assert (broken.failure, broken.salvage) == (Failure.BROKEN, str(good))
    saved = restore(
        store, FilesTarget(tmp_path, "anna"), tmp_path, OneItem("m0"), AsOf(transaction=good)
    )
    assert saved.complete
    assert contents_below(tmp_path) == [b"x"]


def test_salvage_passes_over_what_is_damaged_broken_or_deleted(tmp_path: Path) -> None:
    store = MemoryStore()
    good = store.put("anna", "m", "message", {"folder": "in"}, b"good", time_ms=100)
    store.put("anna", "m", "message", {"folder": "in", "flags": 5}, b"good", time_ms=200)
    store.delete("anna", "m", time_ms=300)
    store.put("anna", "m", "message", {"folder": "in"}, b"damaged", time_ms=400)
    store.put("anna", "m", "message", {"folder": "in", "flags": ["seen"]}, b"damaged", time_ms=500)
    store.put("anna", "m", "message", {"folder": "w"}, b"gone", time_ms=600)
    store.failures[digest_of(b"damaged")] = BlobDamagedError("damaged")
    store.failures[digest_of(b"gone")] = BlobMissingError("gone")
    (missing,) = restore(store, FilesTarget(tmp_path, "anna"), tmp_path).unrestored
    assert missing.salvage == str(good)


def test_content_of_another_size_than_its_state_says_is_broken(tmp_path: Path) -> None:
    class Shrunk(MemoryStore):
        def pieces(self, state: ItemState) -> Iterator[bytes]:
            for piece in super().pieces(state):
                yield piece[:-1]

    store = Shrunk()
    store.put("anna", "m", "message", {"folder": "in"}, b"mail", time_ms=100)
    (broken,) = restore(store, FilesTarget(tmp_path, "anna"), tmp_path).unrestored
    assert broken.failure is Failure.BROKEN
    assert broken.reason == "the content has 3 bytes, the state says 4"


def test_fields_the_target_does_not_keep_are_counted(tmp_path: Path) -> None:
    store = mailbox(2)
    state = {"folder": "in", "tags": ["red"], "flags": ["muted"]}
    store.put("anna", "t", "message", state, b"1", time_ms=300)
    report = restore(store, MaildirTarget(tmp_path, "anna"), tmp_path)
    assert report.left_out == {"message.tags": 1, "message.flags": 1}
    assert report.complete


def test_verify_notices_what_was_read_back_otherwise(tmp_path: Path) -> None:
    store = mailbox(2)
    report = restore(store, LyingTarget(tmp_path, "anna"), tmp_path, verify=True)
    assert {(item.item, item.failure) for item in report.unrestored} == {
        ("m0", Failure.UNVERIFIED),
        ("m1", Failure.UNVERIFIED),
    }
    assert "another content" in report.unrestored[0].reason
    assert (report.restored, report.verified) == (1, 1)
    again = restore(store, FilesTarget(tmp_path, "anna"), tmp_path, verify=True)
    assert (again.restored, again.skipped) == (2, 1)
    assert contents_below(tmp_path) == [content(0), content(1)]


def test_verify_compares_what_was_restored_earlier_too(tmp_path: Path) -> None:
    store = mailbox(1)
    restore(store, FilesTarget(tmp_path, "anna"), tmp_path)
    (path,) = tmp_path.rglob("*.eml")
    path.write_bytes(b"edited since")
    report = restore(store, FilesTarget(tmp_path, "anna"), tmp_path, verify=True)
    (differs,) = report.unrestored
    assert (differs.item, differs.failure) == ("m0", Failure.UNVERIFIED)
    assert path.read_bytes() == b"edited since"


def test_a_stopped_run_is_consistent_and_goes_on(tmp_path: Path) -> None:
    store = mailbox(9)
    asked = count()
    target = FilesTarget(tmp_path, "anna")
    run = start(store, target, tmp_path, stop=lambda: next(asked) >= 4)
    with pytest.raises(InterruptedRunError, match="stopped with 6 of 10"):
        run.run()
    report = added_up(run.report())
    assert (report.restored, report.remaining) == (4, 6)
    assert not report.complete
    with pytest.raises(IncompleteError, match="6 of 10"):
        report.raise_if_incomplete()
    again = restore(store, FilesTarget(tmp_path, "anna"), tmp_path)
    assert (again.restored, again.skipped) == (6, 4)
    assert contents_below(tmp_path) == [content(number) for number in range(9)]


def test_a_target_that_fails_in_the_middle_keeps_what_it_has(tmp_path: Path) -> None:
    store = mailbox(5)
    run = start(store, FailingTarget(tmp_path, "anna"), tmp_path)
    with pytest.raises(TargetError, match="no space left"):
        run.run()
    report = added_up(run.report())
    assert (report.restored, report.remaining) == (3, 3)
    again = restore(store, FilesTarget(tmp_path, "anna"), tmp_path)
    assert (again.restored, again.skipped) == (3, 3)


def test_a_lost_id_map_brings_no_doubles(tmp_path: Path) -> None:
    """What stands under the right name with the right content is taken over."""
    store = mailbox(3)
    restore(store, FilesTarget(tmp_path, "anna"), tmp_path)
    (tmp_path / "id_mapper-5f1e.jsonl").unlink()
    report = restore(store, FilesTarget(tmp_path, "anna"), tmp_path, verify=True)
    assert report.complete
    assert contents_below(tmp_path) == [content(number) for number in range(3)]
    assert restore(store, FilesTarget(tmp_path, "anna"), tmp_path).skipped == 4


def test_a_report_is_one_json_object(tmp_path: Path) -> None:
    store = mailbox(2)
    store.failures[digest_of(content(1))] = BlobMissingError("gone")
    store.delete_account("anna", time_ms=999)
    as_of = AsOf(instant_ms=998)
    report = restore(store, FilesTarget(tmp_path, "anna"), tmp_path, as_of=as_of)
    told = msgspec.json.decode(msgspec.json.encode(report.as_document()))
    assert told["complete"] is False
    assert (told["account"], told["selected"], told["restored"]) == ("anna", 3, 2)
    assert told["unrestored"][0]["item"] == "m1"
    assert told["unrestored"][0]["failure"] == "read-error"
    assert told["doubts"][0]["since_ms"] == 999


@each_kind
def test_nothing_is_written_by_planning(kind: Kind, tmp_path: Path) -> None:
    start(mailbox(2), kind.open(tmp_path / "place"), tmp_path / "place")
    assert not (tmp_path / "place").exists()
