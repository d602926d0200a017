"""What cannot be used is kept whole, with its reason; the partition goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from streambackup.domain.partition_event import PartitionEventKind
from streambackup.events.mailbox import EVENT_BYTES_MAX
from streambackup.reading.partition_log import filed_events
from streambackup.testing.events import ACCOUNT, TIME_MS, put
from tests.support.account_service import AccountService

GOOD: dict[str, Any] = msgspec.to_builtins(put("m", 2, folder="f")) | {"event": "put"}


def packed(**changed: Any) -> bytes:
    return msgspec.msgpack.encode(GOOD | changed)


def nested(depth: int) -> Any:
    return [] if depth == 1 else [nested(depth - 1)]


BAD = {
    "no value": (None, "no value"),
    "empty": (b"", "not an event"),
    "torn": (packed()[:-3], "not an event"),
    "no map": (b"\xc0", "neither a JSON object nor a MessagePack map"),
    "not UTF-8": (packed(item=b"\xff").replace(b"\xc4\x01\xff", b"\xa1\xff"), "not UTF-8"),
    "newer schema": (packed(schema=2, event="hologram"), "schema 2 is newer than 1"),
    "unknown kind": (packed(event="hologram"), "not an event"),
    "oversized": (packed(state={"x": "x" * EVENT_BYTES_MAX}), "more than 900000"),
    "wrong key": (packed(account="bert"), "the record's key is not the event's account"),
    "not a number": (packed(state={"x": float("nan")}), "not finite"),
    "infinite": (b'{"event":"put","state":{"x":1e999}}', "not an event"),
    "bytes in a state": (packed(state={"x": b"\0"}), "not an event"),
    "a key that is no text": (packed(state={1: "x"}), "not an event"),
    "too deep": (packed(state={"x": nested(8)}), "nested more than 8 deep"),
    "far too deep": (b'{"state":' + b'{"x":' * 100_000, "not an event"),
    "beyond 64 bits": (b'{"event":"put","schema":1,"state":{"x":%d}}' % 2**70, "not an event"),
    "a digest that leads elsewhere": (packed(digest="../" * 14 + "ab"), "the digest"),
    "no sequence": (packed(sequence=0), "not an event"),
}


@pytest.mark.parametrize("case", BAD)
async def test_a_bad_record_is_kept_with_its_reason(tmp_path: Path, case: str) -> None:
    value, reason = BAD[case]
    service = AccountService(tmp_path / "store")
    await service.create()
    service.publish(put("m", 1, folder="f", flags=["new"]))
    service.publish_raw(ACCOUNT.encode(), value)
    service.publish(put("m", 2, folder="f", flags=["seen"], time_ms=TIME_MS + 1_000))
    assert await service.work(drain=False) is None
    unfiled = service.reader().history(ACCOUNT)
    assert await service.work() is None
    history = service.reader().history(ACCOUNT)
    (event,) = filed_events(service.path())

    assert history == unfiled
    assert [state.state["flags"] for state in history.items["m"].states] == [["new"], ["seen"]]
    assert [doubt.position and doubt.position.offset for doubt in history.doubts] == [1]
    assert reason in history.doubts[0].reason
    assert "\n" not in history.doubts[0].reason
    assert event.kind is PartitionEventKind.QUARANTINE
    assert (event.key, event.value) == (ACCOUNT.encode(), value)
    assert reason in event.reason


async def test_a_bad_record_under_no_key_puts_nobody_in_doubt(tmp_path: Path) -> None:
    service = AccountService(tmp_path / "store")
    await service.create()
    service.publish_raw(None, b"\xc1")
    service.publish(put("m", 1, folder="f"))
    assert await service.work() is None

    assert service.reader().history(ACCOUNT).doubts == ()
    assert [event.key for event in filed_events(service.path())] == [None]


async def test_a_bad_record_does_not_end_a_run(tmp_path: Path) -> None:
    """It may be anybody's, so whether a batch ended there must not matter."""
    histories = []
    for size in (1, 10):
        service = AccountService(tmp_path / str(size), batch_records_max=size)
        await service.create()
        service.publish(put("m", 1, flags="a", folder="f"))
        service.publish_raw(ACCOUNT.encode(), b"")
        service.publish(put("m", 2, flags="b", folder="f"))
        assert await service.work() is None
        histories.append(service.reader().history(ACCOUNT))

    assert histories[0] == histories[1]
    (state,) = histories[0].items["m"].states
    assert [id.sequence for id in state.transactions] == [1, 2]
