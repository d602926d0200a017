"""Records that cannot be used, and contents that never come whole: kept aside, named, passed by."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streambackup.bus.port import Outgoing, partition_of
from streambackup.domain.digest import digest_of
from streambackup.domain.entry import ItemType
from streambackup.domain.transaction import Position
from streambackup.events.blob import Chunk
from streambackup.events.codec import encode_event
from streambackup.events.mailbox import Put
from streambackup.service.wiring import EMBEDDED_PARTITIONS
from tests.support.backup import Backup, names_of

pytestmark = pytest.mark.scenario

ANN, BEN = "ann@example.org", "ben@example.org"
TRANSACTIONS, BLOBS = "mailbox.transactions", "mailbox.blobs"
T = 1_700_000_000_000
MIB = 1024 * 1024


def put(sequence: int, item: str, body: bytes = b"", **fields: Any) -> Put:
    known: dict[str, Any] = {
        "schema": 1,
        "account": ANN,
        "source": "foreign",
        "incarnation": "5e0c7a91",
        "sequence": sequence,
        "time_ms": T + 1000 * sequence,
        "item": item,
        "type": ItemType.DOCUMENT,
        "state": {"name": item},
    }
    named = {"digest": digest_of(body), "size": len(body)} if body else {}
    return Put(**{**known, **named, **fields})


def record(value: bytes | None, key: str = ANN) -> Outgoing:
    return Outgoing(TRANSACTIONS, key.encode(), value)


def chunk(content: bytes, upload: str, offset: int, data: bytes) -> Outgoing:
    digest = digest_of(content)
    event = Chunk(
        schema=1, digest=digest, upload=upload, offset=offset, total=len(content), data=data
    )
    return Outgoing(BLOBS, digest.encode(), encode_event(event))


def newer(event: Put) -> bytes:
    fields = msgspec.json.decode(msgspec.json.encode(event))
    return msgspec.json.encode({**fields, "schema": 99})


def test_bad_records_are_kept_aside_and_the_partition_goes_on(tmp_path: Path) -> None:
    backup = Backup(tmp_path / "backup").init()
    bad = [b"not an event", None, newer(put(2, "newer")), b"{" + b" " * 950_000]
    with backup.service() as running:
        backup.publish_raw(
            [
                record(encode_event(put(1, "before"))),
                *map(record, bad),
                record(encode_event(put(1, "strange")), key=BEN),
                record(encode_event(put(2, "after"))),
            ]
        )
        five = f'quarantined_records_total{{topic="{TRANSACTIONS}"}} 5.0'.encode()
        running.wait_until(lambda: five in running.get("/metrics") or None, "they were set aside")
    assert {row["item"] for row in backup.json("item", "list", ANN)} == {"before", "after"}
    doubts = [doubt["reason"] for doubt in backup.json("account", "show", ANN)["in_doubt"]]
    assert len(doubts) == len(bad)
    (doubt,) = backup.json("account", "show", BEN)["in_doubt"]
    assert "key" in doubt["reason"]


def test_transactions_that_come_twice_late_or_from_the_future(tmp_path: Path) -> None:
    """Each is kept, is no fault, and is told."""
    backup = Backup(tmp_path / "backup").init()
    first, far_ms = put(1, "twice"), T * 2
    events = [
        first,
        first,
        put(2, "other", state={"name": "one"}),
        put(2, "other", state={"name": "two"}),
        put(3, "future", time_ms=far_ms),
        put(5, "late", state={"name": "new"}),
        put(4, "late", state={"name": "old"}),
        put(6, "back"),
        put(7, "back", state={"name": "again"}, time_ms=T),
    ]
    told = {"conflicting-transaction", "time-ahead"}
    with backup.service(findings=told) as running:
        backup.publish_raw([record(encode_event(event)) for event in events])
        running.wait_until_caught_up()
    assert {finding.finding for finding in backup.expect_sound(told).notes} == told
    items = backup.reader().history(ANN).items
    states = {item: [s.state["name"] for s in history.states] for item, history in items.items()}
    assert states == {
        "twice": ["twice"],
        "other": ["one", "two"],
        "future": ["future"],
        "late": ["new", "old"],
        "back": ["back", "again"],
    }
    assert items["future"].states[0].start_ms < far_ms
    assert [state.late for state in items["late"].states] == [False, True]
    assert items["late"].current == items["late"].states[0]
    assert [s.start_ms for s in items["back"].states] == [T + 6000, T + 6000]
    assert "late" in str(backup.json("account", "show", ANN)["in_doubt"])


def test_contents_that_do_not_come_whole_are_missing_and_nothing_has_a_wrong_name(
    tmp_path: Path,
) -> None:
    """Wrong bytes, a hole, a chunk twice, an overlap; two uploads at once are one blob."""
    backup = Backup(tmp_path / "backup").init()
    bodies = [b"%s, sixteen bytes more" % name for name in (b"wrong", b"holed", b"twice", b"laps")]
    wrong, holed, doubled, lapping = bodies
    shared = b"two producers send it at once"
    contents = [
        chunk(wrong, "u1", 0, wrong[::-1]),
        chunk(holed, "u2", 0, holed[:5]),
        chunk(holed, "u2", 7, holed[7:]),
        chunk(doubled, "u3", 0, doubled[:5]),
        chunk(doubled, "u3", 5, doubled[5:9]),
        chunk(doubled, "u3", 5, doubled[5:9]),
        chunk(lapping, "u4", 0, lapping[:9]),
        chunk(lapping, "u4", 5, lapping[5:]),
        chunk(shared, "u5", 0, shared[:9]),
        chunk(shared, "u6", 0, shared[:4]),
        chunk(shared, "u5", 9, shared[9:]),
        chunk(shared, "u6", 4, shared[4:]),
    ]
    with backup.service(findings=("missing-blob",)) as running:
        generation = running.status()["generation"]
        placed = backup.publish_raw(contents)
        last = [placed[at] for at in (0, 2, 5, 7, 10)]
        puts = [
            put(n, f"item{n}", body, content=Position(generation, place.partition, place.offset))
            for n, (body, place) in enumerate(zip([*bodies, shared], last, strict=True), start=1)
        ]
        backup.publish_raw([record(encode_event(event)) for event in puts])
        running.wait_until_caught_up()
    shown = [backup.json("item", "show", ANN, event.item)["content"] for event in puts]
    assert shown == ["missing"] * 4 + ["stored"]
    blobs = {name for name in names_of(backup.path / "items") if not name.startswith("incoming")}
    assert blobs == {f"{digest_of(shared)[:2]}/{digest_of(shared)}"}
    faults = backup.json("check", code=15)["findings"]
    assert sorted(fault["item"] for fault in faults) == ["item1", "item2", "item3", "item4"]


def test_an_upload_that_never_ends_is_given_up_when_enough_has_followed(tmp_path: Path) -> None:
    backup = Backup(tmp_path / "backup", settings={"blobs.upload_give_up_bytes": MIB}).init()
    begun = b"the producer died in the middle of this"
    partition = partition_of(digest_of(begun).encode(), EMBEDDED_PARTITIONS)
    candidates = (bytes([number]) * 400_000 for number in range(256))
    beside = (
        c
        for c in candidates
        if partition_of(digest_of(c).encode(), EMBEDDED_PARTITIONS) == partition
    )
    following = list(itertools.islice(beside, 4))
    told = {"unnamed-blob", "abandoned-upload"}
    with backup.service(findings=told) as running:
        backup.publish_raw([chunk(begun, "u1", 0, begun[:9])])
        running.wait_until(
            lambda: running.status()["held_uploads"], "the upload held its partition"
        )
        assert running.status()["lag"] > 0
        backup.publish_raw([chunk(content, "u2", 0, content) for content in following])
        running.wait_until_caught_up()
        assert running.status()["held_uploads"] == []
    report = backup.expect_sound(told)
    (note,) = [note for note in report.notes if note.finding == "abandoned-upload"]
    assert f"u1 of {digest_of(begun)}" in note.what
    assert f"9 of {len(begun)} bytes" in note.what
    assert report.blobs == len(following)
    with backup.service(findings={"unnamed-blob"}) as running:
        backup.publish_raw([chunk(begun, "u3", 0, begun)])
        running.wait_until_caught_up()
