"""What the outbox's file keeps, and whose it is."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from streambackup.errors import StoreBusyError, StoreError
from streambackup.events.mailbox import Put
from streambackup.outbox.database import Database
from streambackup.sources.port import Observation
from tests.support.observations import OpenOutbox, message
from tests.support.recording_producer import RecordingProducer


async def test_memory_alone_changes_without_a_transaction(open_outbox: OpenOutbox) -> None:
    outbox = open_outbox()
    note = Observation(
        account="ann", time_ms=1, operation=None, remember={"a/1": b"1", "a/2": b"2", "b": b"3"}
    )
    forget = Observation(account="ann", time_ms=1, operation=None, remember={"a/1": None})

    assert await outbox.record([note]) == [None]
    assert list(outbox.memory.scan("ann", "a/")) == [("a/1", b"1"), ("a/2", b"2")]
    assert await outbox.record([forget]) == [None]

    assert list(outbox.memory.scan("ann", "a/")) == [("a/2", b"2")]
    assert await outbox.waiting() == 0


async def test_a_scan_goes_through_pages_and_sees_what_is_recorded_meanwhile(
    open_outbox: OpenOutbox,
) -> None:
    outbox = open_outbox()
    keys = [f"m/{number:05}" for number in range(2_500)]
    await outbox.record(
        [
            Observation(
                account="ann", time_ms=1, operation=None, remember=dict.fromkeys(["m/", *keys], b"")
            )
        ]
    )
    scan = outbox.memory.scan("ann", "m/")

    first = next(scan)
    await outbox.record(
        [Observation(account="ann", time_ms=1, operation=None, remember={keys[-1]: None})]
    )

    assert [key for key, _ in (first, *scan)] == ["m/", *keys[:-1]]


async def test_ids_of_any_kind_are_kept_exactly(
    open_outbox: OpenOutbox, producer: RecordingProducer, tmp_path: Path
) -> None:
    outbox = open_outbox()
    names = ["a/../b", "x\0y", "x\0z", "Ünï😀", "TWIN", "twin", "n" * 1024]

    await outbox.record([message(tmp_path, item=name, account=name) for name in names])
    again = await outbox.record([message(tmp_path, item=name, account=name) for name in names])
    await outbox.flush()

    assert [put.item for put in producer.transactions() if isinstance(put, Put)] == names
    assert again == [None] * len(names)


def test_a_place_that_cannot_be_written_is_named_with_its_cure() -> None:
    with pytest.raises(StoreError, match="/sys/kernel/outbox-s") as caught:
        Database(Path("/sys/kernel"), "s")
    assert "store.state_path" in (caught.value.hint or "")


async def test_the_file_is_private_and_one_process_s_at_a_time(
    open_outbox: OpenOutbox, tmp_path: Path
) -> None:
    outbox = open_outbox()
    directory = tmp_path / "state"

    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o600}
    with pytest.raises(StoreBusyError, match="another process"):
        open_outbox()
    (ours,) = await outbox.record([message(tmp_path)])
    (others,) = await open_outbox("other").record([message(tmp_path)])
    assert ours
    assert others
    assert ours.incarnation != others.incarnation


def test_a_damaged_file_and_another_source_s_are_refused_with_the_cure(
    open_outbox: OpenOutbox, tmp_path: Path
) -> None:
    outbox = open_outbox()
    outbox.close()
    path = tmp_path / "state" / "outbox-mail.sqlite"
    path.rename(path.with_name("outbox-other.sqlite"))
    path.write_bytes(b"no database" * 100)

    with pytest.raises(StoreError, match="of source 'mail'") as other:
        open_outbox("other")
    with pytest.raises(StoreError, match="not a database") as damaged:
        open_outbox()

    assert "Move it aside" in str(other.value.hint)
    assert "move it aside" in str(damaged.value.hint)
