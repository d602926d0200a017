"""What the outbox sends, keeps and sends again."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from streambackup.domain.digest import digest_of
from streambackup.domain.entry import ItemType
from streambackup.domain.transaction import Position, TransactionId
from streambackup.errors import BusError, TopicError
from streambackup.events.blob import Chunk, Reference
from streambackup.events.mailbox import AccountDelete, Delete, FolderDelete, Put
from streambackup.sources.port import Observation
from tests.support.observations import OpenOutbox, message
from tests.support.recording_producer import RecordingProducer
from tests.support.watching import TOPICS

AWAY = BusError("the bus is away")


async def test_content_is_on_the_bus_before_the_transaction_that_names_it(
    open_outbox: OpenOutbox, producer: RecordingProducer, tmp_path: Path
) -> None:
    outbox = open_outbox()

    ids = await outbox.record([message(tmp_path)])
    sent = await outbox.flush()

    assert sent == 1
    assert [record.topic for record, _ in producer.log] == ["mailbox.blobs", "mailbox.transactions"]
    (put,) = producer.transactions()
    assert isinstance(put, Put)
    assert (put.source, put.sequence) == ("mail", 1)
    assert ids == [TransactionId(put.source, put.incarnation, put.sequence)]
    _, placed = producer.log[0]
    assert put.content == Position(TOPICS.generation, placed.partition, placed.offset)
    assert put.generation == TOPICS.generation
    assert producer.contents() == {digest_of(b"hello"): b"hello"}
    assert await outbox.waiting() == 0


async def test_the_same_state_again_is_not_sent(
    open_outbox: OpenOutbox, producer: RecordingProducer, tmp_path: Path
) -> None:
    outbox = open_outbox()
    await outbox.record([message(tmp_path)])

    ids = await outbox.record([message(tmp_path, remember={"m/f1/m1": b"elsewhere"})])
    await outbox.flush()

    assert ids == [None]
    assert len(producer.transactions()) == 1
    assert outbox.memory.get("ann", ["m/f1/m1"]) == {"m/f1/m1": b"elsewhere"}


async def test_a_change_of_state_alone_sends_no_content(
    open_outbox: OpenOutbox, producer: RecordingProducer, tmp_path: Path
) -> None:
    outbox = open_outbox()
    await outbox.record([message(tmp_path)])

    await outbox.record([message(tmp_path, state={"folder": "f1", "flags": ["seen"]})])
    await outbox.flush()

    first, second = producer.transactions()
    assert isinstance(first, Put)
    assert isinstance(second, Put)
    assert len(producer.blob_events()) == 1
    assert (second.digest, second.size, second.content) == (first.digest, first.size, None)
    assert (first.sequence, second.sequence) == (1, 2)


async def test_what_a_living_item_holds_is_referred_to_with_a_place_of_its_own(
    open_outbox: OpenOutbox, producer: RecordingProducer, tmp_path: Path
) -> None:
    outbox = open_outbox()
    same = [message(tmp_path, item=f"f1/m{number}") for number in range(3)]

    await outbox.record(same[:2])
    await outbox.record([message(tmp_path, item="f1/m2", account="bob")])
    await outbox.flush()

    assert [type(event) for event in producer.blob_events()] == [Chunk, Reference, Reference]
    places = [put.content for put in producer.transactions() if isinstance(put, Put)]
    assert len(set(places)) == 3


async def test_content_is_sent_again_once_no_item_holds_it(
    open_outbox: OpenOutbox, producer: RecordingProducer, tmp_path: Path
) -> None:
    outbox = open_outbox()
    gone = Observation(account="ann", time_ms=2_000, operation="delete", item="f1/m1")

    await outbox.record([message(tmp_path), gone])
    await outbox.record([message(tmp_path)])

    assert [type(event) for event in producer.blob_events()] == [Chunk, Chunk]


async def test_content_goes_back_and_forth_with_the_item(
    open_outbox: OpenOutbox, producer: RecordingProducer, tmp_path: Path
) -> None:
    outbox = open_outbox()

    for data in (b"x", b"y", b"x"):
        await outbox.record([message(tmp_path, data)])
    await outbox.flush()

    puts = [put for put in producer.transactions() if isinstance(put, Put)]
    assert [put.digest for put in puts] == [digest_of(data) for data in (b"x", b"y", b"x")]
    assert all(put.content is not None for put in puts)


async def test_a_file_that_is_gone_or_differs_drops_its_observation_and_its_memory(
    open_outbox: OpenOutbox, producer: RecordingProducer, tmp_path: Path
) -> None:
    outbox = open_outbox()
    gone = message(tmp_path, b"gone", item="f1/gone", remember={"gone": b""})
    differs = message(tmp_path, b"before", item="f1/differs", remember={"differs": b""})
    longer = message(tmp_path, b"short", item="f1/longer", remember={"longer": b""})
    assert gone.content
    assert differs.content
    assert longer.content
    gone.content.path.unlink()
    differs.content.path.write_bytes(b"behind")
    longer.content.path.write_bytes(b"short and more")

    ids = await outbox.record([gone, message(tmp_path), differs, longer])
    await outbox.flush()

    (put,) = producer.transactions()
    assert isinstance(put, Put)
    assert put.sequence == 1
    assert ids == [None, TransactionId("mail", put.incarnation, 1), None, None]
    assert list(outbox.memory.scan("ann", "m/")) == [("m/f1/m1", b"there")]
    assert outbox.memory.get("ann", ["gone", "differs", "longer"]) == {}
    assert producer.contents() == {digest_of(b"hello"): b"hello"}


async def test_a_later_observation_of_a_dropped_item_is_dropped_with_it(
    open_outbox: OpenOutbox, producer: RecordingProducer, tmp_path: Path
) -> None:
    outbox = open_outbox()
    first = message(tmp_path, b"gone")
    second = message(tmp_path, b"gone", state={"folder": "f2"})
    assert first.content
    first.content.path.unlink()

    assert await outbox.record([first, second]) == [None, None]
    assert await outbox.waiting() == 0


async def test_deletes_name_what_they_delete_and_unknown_items_are_not_deleted(
    open_outbox: OpenOutbox, producer: RecordingProducer, tmp_path: Path
) -> None:
    outbox = open_outbox()
    folder = Observation(
        account="ann", time_ms=1, operation="put", item="f1", type=ItemType.FOLDER, state={}
    )
    await outbox.record([folder, message(tmp_path)])

    ids = await outbox.record(
        [
            Observation(account="ann", time_ms=2, operation="delete", item="never"),
            Observation(account="ann", time_ms=2, operation="delete", item="f1/m1"),
            Observation(account="ann", time_ms=2, operation="folder-delete", item="f1"),
            Observation(account="ann", time_ms=2, operation="account-delete", item="ann"),
        ]
    )
    await outbox.flush()

    assert [id.sequence if id else None for id in ids] == [None, 3, 4, 5]
    delete, folder_delete, account_delete = producer.transactions()[2:]
    assert isinstance(delete, Delete)
    assert isinstance(folder_delete, FolderDelete)
    assert isinstance(account_delete, AccountDelete)
    assert (delete.item, folder_delete.folder) == ("f1/m1", "f1")


async def test_after_an_account_delete_everything_is_news(
    open_outbox: OpenOutbox, producer: RecordingProducer, tmp_path: Path
) -> None:
    outbox = open_outbox()
    await outbox.record([message(tmp_path), message(tmp_path, account="bob")])
    end = Observation(account="ann", time_ms=2, operation="account-delete", item="ann")

    ids = await outbox.record([message(tmp_path, item="x"), end, message(tmp_path)])
    again = await outbox.record([message(tmp_path, item="x"), message(tmp_path, account="bob")])

    assert [id is None for id in ids] == [False, False, False]
    assert [id is None for id in again] == [False, True]


async def test_sequences_count_each_account_without_holes_across_restarts(
    open_outbox: OpenOutbox, producer: RecordingProducer, tmp_path: Path
) -> None:
    first = open_outbox()
    await first.record([message(tmp_path, item="1"), message(tmp_path, item="1", account="bob")])
    await first.flush()
    first.close()

    second = open_outbox()
    await second.record([message(tmp_path, item="2"), message(tmp_path, item="2", account="bob")])
    await second.flush()

    puts = [put for put in producer.transactions() if isinstance(put, Put)]
    assert [(put.account, put.sequence) for put in puts] == [
        ("ann", 1),
        ("bob", 1),
        ("ann", 2),
        ("bob", 2),
    ]
    assert len({put.incarnation for put in puts}) == 1


async def test_what_waits_survives_a_restart_and_is_sent_byte_for_byte_the_same(
    open_outbox: OpenOutbox, producer: RecordingProducer, tmp_path: Path
) -> None:
    """The acknowledgement of the first sending is lost with the process."""
    first = open_outbox()
    await first.record([message(tmp_path, item=str(number)) for number in range(5)])
    producer.failures, producer.kept_of_failed = [AWAY], 3
    await first.flush()
    await first.record([message(tmp_path, item="6")])
    first.close()

    second = open_outbox()
    waiting = await second.waiting()
    await second.flush()

    values = producer.values("mailbox.transactions")
    assert waiting == 1
    assert values[:3] == values[3:6]
    assert [put.sequence for put in producer.transactions()[3:] if isinstance(put, Put)] == [
        1,
        2,
        3,
        4,
        5,
        6,
    ]


async def test_an_upload_that_the_bus_did_not_acknowledge_is_sent_anew_as_another(
    open_outbox: OpenOutbox, producer: RecordingProducer, tmp_path: Path
) -> None:
    outbox = open_outbox()
    producer.failures, producer.kept_of_failed = [AWAY, AWAY], 1
    contents = [b"a", b"b"]

    await outbox.record([message(tmp_path, data, item=str(data)) for data in contents])

    chunks = [event for event in producer.blob_events() if isinstance(event, Chunk)]
    assert [chunk.data for chunk in chunks] == [b"a", b"a", b"a", b"b"]
    assert len({chunk.upload for chunk in chunks}) == 4


async def test_an_error_that_does_not_pass_is_raised_and_nothing_is_remembered(
    open_outbox: OpenOutbox, producer: RecordingProducer, tmp_path: Path
) -> None:
    outbox = open_outbox()
    producer.failures = [TopicError("no such topic")]

    with pytest.raises(TopicError):
        await outbox.record([message(tmp_path)])

    assert outbox.memory.get("ann", ["m/f1/m1"]) == {}
    assert await outbox.record([message(tmp_path)]) != [None]


async def test_with_other_writers_about_everything_is_sent_with_its_content(
    open_outbox: OpenOutbox, producer: RecordingProducer, tmp_path: Path
) -> None:
    outbox = open_outbox("publish", sole_writer=False)
    unknown = Observation(account="ann", time_ms=2, operation="delete", item="theirs")

    for _ in range(2):
        ids = await outbox.record([message(tmp_path), unknown])
        assert None not in ids

    assert [type(event) for event in producer.blob_events()] == [Chunk, Chunk]


async def test_who_asks_what_waits_while_it_is_closed_is_told_nothing_waits(
    open_outbox: OpenOutbox, tmp_path: Path
) -> None:
    """The thread that looks comes to it only after the source's part has ended."""
    outbox = open_outbox()
    await outbox.record([message(tmp_path)])
    loop, busy = asyncio.get_running_loop(), threading.Event()
    loop.set_default_executor(ThreadPoolExecutor(1))
    blocked = loop.run_in_executor(None, busy.wait)

    async with asyncio.TaskGroup() as group:
        asked = group.create_task(outbox.waiting())
        await asyncio.sleep(0)
        outbox.close()
        busy.set()

    assert (await blocked, asked.result()) == (True, 0)
