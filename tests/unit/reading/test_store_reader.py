"""Reading a store back, filed or not, while somebody works on it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from streambackup.coherency.check import check_store
from streambackup.domain.entry import Entry
from streambackup.domain.finding import FindingClass
from streambackup.domain.partition_event import PartitionEvent
from streambackup.errors import NotFoundError
from streambackup.events.codec import encode_event
from streambackup.events.mailbox import MarkerKind
from streambackup.journal.frame import (
    FILE_MAGIC,
    FRAME_MAGIC,
    NO_RECORD,
    FrameKind,
    encode_frame,
)
from streambackup.journal.payload import Records, encode_payload
from streambackup.metadata.account_log import account_directory, log_files
from streambackup.reading.fingerprint import fingerprint, first_difference
from streambackup.realtime.retiring import Retiring
from streambackup.testing.events import (
    ACCOUNT,
    MOMENT_MS,
    TIME_MS,
    PartitionLog,
    delete,
    id_of,
    marker,
    put,
)
from streambackup.testing.partition_store import PartitionStore

DAY_MS = 86_400_000


def mixed_log() -> PartitionLog:
    """Runs of two accounts, markers, a record in quarantine, a hole."""
    log = PartitionLog()
    for number in range(1, 4):
        log.add(put("m", number, n=number, folder="f"))
    log.add(put("m", 1, account="bert", folder="f", n=0))
    log.add(marker(MarkerKind.SWITCH, account=None))
    log.add(put("m", 4, n=4, folder="f"))
    log.add_raw(ACCOUNT.encode(), b"junk")
    log.add(put("m", 7, n=7, folder="f", time_ms=TIME_MS + 1_000))
    log.add(delete("m", 8, time_ms=TIME_MS + 2_000))
    return log


@pytest.fixture
def log() -> PartitionLog:
    return mixed_log()


def store_of(root: Path, log: PartitionLog, *cuts: int) -> PartitionStore:
    store = PartitionStore(root)
    store.journal(store.own(), log.records, set(cuts))
    return store


def test_what_is_filed_reads_as_it_did_before(tmp_path: Path, log: PartitionLog) -> None:
    store = store_of(tmp_path / "store", log, 2, 5)
    reader = store.reader()
    assert reader.accounts() == [ACCOUNT, "bert"]
    before = [reader.history(account) for account in reader.accounts()]
    owner = store.own()
    store.file(owner)
    both = store.reader()
    Retiring(store.path, store.disk, owner.epoch).retire(0, 0)
    after = store.reader()

    assert store.path.segments() == []
    for found in (both, after):
        assert found.accounts() == [ACCOUNT, "bert"]
        assert [found.history(account) for account in found.accounts()] == before
    assert [state.state["n"] for state in before[0].items["m"].states if not state.deleted] == [
        3,
        4,
        7,
    ]
    assert [doubt.position and doubt.position.offset for doubt in before[0].doubts] == [6, 7]
    assert before[1].doubts == ()


def test_one_question_or_many_give_the_same(tmp_path: Path, log: PartitionLog) -> None:
    """Asked for one account a reader decodes little; asked for a second it sorts them all."""
    store = store_of(tmp_path / "store", log)
    many = store.reader()

    for account in (ACCOUNT, "bert", ACCOUNT, "carl"):
        alone = store.reader().examine(account)
        assert many.examine(account) == alone
        assert bool(alone.items) == (account != "carl")


def test_what_is_filed_while_one_reads_is_met_once(tmp_path: Path, log: PartitionLog) -> None:
    store = store_of(tmp_path / "store", log, 3)
    before = store.reader().history(ACCOUNT)
    reader = store.reader()
    reader.accounts()
    store.file(store.own())

    assert reader.history(ACCOUNT) == before
    events = [e for e in reader.stream(ACCOUNT, []) if isinstance(e, PartitionEvent)]
    assert [event.position.offset for event in events] == [4, 6]


def test_what_comes_after_the_first_question_is_not_seen(tmp_path: Path, log: PartitionLog) -> None:
    store = PartitionStore(tmp_path / "store")
    owner = store.own()
    store.journal(owner, log.records[:3])
    reader = store.reader()
    reader.accounts()
    store.journal(owner, log.records)

    assert [m.offset for e in reader.stream(ACCOUNT, []) if isinstance(e, Entry)
            for m in e.members] == [0, 1, 2]  # fmt: skip


def test_the_account_after_a_transaction(tmp_path: Path, log: PartitionLog) -> None:
    reader = store_of(tmp_path / "store", log).reader()
    history = reader.history(ACCOUNT, until=id_of(2))

    (state,) = history.items["m"].states
    assert (state.state["n"], state.end_ms) == (3, None)
    with pytest.raises(NotFoundError, match="has no transaction test:00000001:99"):
        reader.history(ACCOUNT, until=id_of(99))


def test_an_account_that_is_not_there(tmp_path: Path, log: PartitionLog) -> None:
    reader = store_of(tmp_path / "store", log).reader()

    with pytest.raises(NotFoundError, match="no account nobody"):
        reader.history("nobody")


def test_an_account_of_which_only_a_bad_record_came_is_in_doubt(tmp_path: Path) -> None:
    log = PartitionLog()
    log.add_raw(b"carl", None)
    (doubt,) = store_of(tmp_path / "store", log).reader().history("carl").doubts

    assert doubt.reason == "a record is in quarantine: the record has no value"


def test_a_damaged_frame_puts_its_partitions_accounts_in_doubt(
    tmp_path: Path, log: PartitionLog
) -> None:
    """Unfiled, filed, and when the segment that shows the damage is gone."""
    store = store_of(tmp_path / "store", log, 2, 3)
    (name,) = store.path.segments()
    file = store.path.path_of(name)
    damaged = bytearray(file.read_bytes())
    at = damaged.find(b"SBF1", damaged.find(b"SBF1", len(FILE_MAGIC) + 1) + 1)
    damaged[at + 70] ^= 1
    file.write_bytes(damaged)
    unfiled = store.reader().history(ACCOUNT)
    owner = store.own()
    assert owner.position == 2
    owner.position = 9
    store.file(owner)
    filed = store.reader().history(ACCOUNT)
    Retiring(store.path, store.disk, owner.epoch).retire(0, 0)
    retired = store.reader().history(ACCOUNT)

    assert unfiled.doubts == filed.doubts == retired.doubts
    assert unfiled.items == filed.items == retired.items
    assert "the stream has a gap: the journal has no readable frame of it" in {
        doubt.reason for doubt in unfiled.doubts
    }
    assert any(doubt.position and doubt.position.offset == 2 for doubt in unfiled.doubts)


def test_a_record_that_holds_frames_adds_nothing_where_it_is_damaged(tmp_path: Path) -> None:
    """Its sender knew the format; the length of the frame around it is what is damaged."""
    value = encode_event(put("evil", 1))
    payload = encode_payload(Records([1], [TIME_MS], [ACCOUNT.encode()], [value]))
    evil = encode_frame(FrameKind.RECORDS, "f" * 16, 1, 2, NO_RECORD, payload)
    log = PartitionLog()
    log.add(put("m", 1))
    log.add_raw(ACCOUNT.encode(), evil)
    log.add(put("m", 2, time_ms=TIME_MS + DAY_MS))
    store = store_of(tmp_path / "store", log, 1, 2)
    (name,) = store.path.segments()
    file = store.path.path_of(name)
    damaged = bytearray(file.read_bytes())
    outer = damaged.rfind(FRAME_MAGIC, 0, damaged.find(evil))
    damaged[outer + 4] ^= 1
    file.write_bytes(damaged)
    history = store.reader().history(ACCOUNT)

    assert list(history.items) == ["m"]
    assert len(history.items["m"].states[0].transactions) == 2
    assert [finding.finding for finding in check_store(store.root).faults] == [
        FindingClass.DAMAGED_FRAME,
        FindingClass.MISSING_FRAMES,
    ]


def test_a_damaged_line_is_a_finding_of_its_account(tmp_path: Path, log: PartitionLog) -> None:
    store = store_of(tmp_path / "store", log)
    store.file(store.own())
    ((_, file),) = log_files(account_directory(store.root, ACCOUNT))
    damaged = bytearray(file.read_bytes())
    damaged[30] ^= 1
    file.write_bytes(damaged)
    history = store.reader().history(ACCOUNT)

    assert FindingClass.DAMAGED_LINE in {finding.finding for finding in history.findings}
    assert store.reader().history("bert").findings == ()


def test_fingerprints_are_equal_where_histories_are(tmp_path: Path, log: PartitionLog) -> None:
    one = store_of(tmp_path / "one", log, 1, 2)
    other = store_of(tmp_path / "other", log, 6)
    other.file(other.own())

    assert fingerprint(one.reader()) == fingerprint(other.reader())
    assert first_difference(one.reader(), other.reader()) is None


@pytest.mark.parametrize(
    ("changed", "item", "transaction", "what"),
    [
        (put("m", 3, n=9, folder="f"), "m", "test:00000001:3", "states differ in state"),
        (put("m", 3, n=3.0, folder="f"), "m", "test:00000001:3", "states differ in state"),
        (put("x", 3, n=3, folder="f"), "m", "test:00000001:3", "states differ in state"),
        (put("m", 3, n=3, folder="f", time_ms=TIME_MS + MOMENT_MS), "m", None, None),
    ],
)
def test_the_first_difference_is_named(
    tmp_path: Path, changed: object, item: str, transaction: str | None, what: str | None
) -> None:
    one, other = PartitionLog(), PartitionLog()
    for number in (1, 2, 3):
        event = put("m", number, n=number, folder="f")
        one.add(event)
        other.add(changed if number == 3 else event)  # type: ignore[arg-type]
    a = store_of(tmp_path / "a", one).reader()
    b = store_of(tmp_path / "b", other).reader()
    difference = first_difference(a, b)

    assert fingerprint(a) != fingerprint(b)
    assert difference is not None
    assert (difference.account, difference.item) == (ACCOUNT, item)
    if transaction is not None:
        assert (difference.transaction, difference.what) == (transaction, what)


def test_publish_times_and_offsets_are_not_in_the_fingerprint(tmp_path: Path) -> None:
    events = [put("m", 1, folder="f"), put("m", 2, folder="g", time_ms=TIME_MS + DAY_MS)]
    one, other = PartitionLog(), PartitionLog()
    other.add_raw(None, b"junk")
    for event in events:
        one.add(event)
        other.add(event, published_ms=event.time_ms + 77, json=True)

    assert fingerprint(store_of(tmp_path / "a", one).reader()) == fingerprint(
        store_of(tmp_path / "b", other).reader()
    )


def filed_and_retired(root: Path, log: PartitionLog) -> PartitionStore:
    store = store_of(root, log)
    owner = store.own()
    store.file(owner)
    Retiring(store.path, store.disk, owner.epoch).retire(0, 0)
    assert store.path.segments() == []
    return store


def test_logs_that_are_gone_altogether_are_a_doubt_of_every_account(
    tmp_path: Path, log: PartitionLog
) -> None:
    """Without a segment and without a log nothing but the mark tells that there was anything."""
    store = filed_and_retired(tmp_path / "store", log)
    assert store.reader().doubts() == []
    shutil.rmtree(store.root / "accounts")

    reader = store.reader()
    (reason,) = reader.doubts()
    assert "all account logs of partition 0" in reason
    for account in (ACCOUNT, "never-heard-of"):
        reasons = [doubt.reason for doubt in reader.history(account).doubts]
        assert any(reason in one for one in reasons)


def test_one_log_that_is_left_is_left_to_the_check(tmp_path: Path, log: PartitionLog) -> None:
    store = filed_and_retired(tmp_path / "store", log)
    shutil.rmtree(account_directory(store.root, "bert"))

    assert store.reader().doubts() == []
    with pytest.raises(NotFoundError):
        store.reader().history("bert")
    assert FindingClass.MISSING_LINES in {f.finding for f in check_store(store.root).findings}


def test_logs_that_no_epoch_here_wrote_do_not_stand_for_those_that_are_gone(
    tmp_path: Path, log: PartitionLog
) -> None:
    """What another life filed after the loss hides nothing: no mark here names its epochs."""
    store = filed_and_retired(tmp_path / "store", log)
    ((_, log_file),) = log_files(account_directory(store.root, ACCOUNT))
    shutil.rmtree(store.root / "accounts")
    other = log_file.with_name(f"0000000009-{'9' * 16}.jsonl")
    other.parent.mkdir(parents=True)
    other.write_bytes(b"")

    assert len(store.reader().doubts()) == 1


def test_a_partition_of_nothing_but_events_needs_no_account_log(tmp_path: Path) -> None:
    log = PartitionLog()
    log.add(marker(MarkerKind.SWITCH, account=None))
    log.add_raw(ACCOUNT.encode(), b"junk")
    store = filed_and_retired(tmp_path / "store", log)

    assert store.reader().doubts() == []
