"""What was set aside is listed, shown, and published again once it can be used."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streambackup.bus.port import Outgoing, partition_of
from streambackup.domain.digest import digest_of
from streambackup.domain.entry import ItemType
from streambackup.events.blob import Chunk
from streambackup.events.codec import encode_event
from streambackup.events.mailbox import Put
from streambackup.service.wiring import EMBEDDED_PARTITIONS
from tests.support.backup import Backup

pytestmark = pytest.mark.scenario

ANN = "ann@example.org"
TRANSACTIONS, BLOBS = "mailbox.transactions", "mailbox.blobs"
T = 1_700_000_000_000
HOME = partition_of(ANN.encode(), EMBEDDED_PARTITIONS)
WRONG = (HOME + 1) % EMBEDDED_PARTITIONS
ESCAPING = b"\x1b[2Jjunk\xff"


def put(sequence: int, item: str) -> bytes:
    return encode_event(
        Put(
            schema=1, account=ANN, source="foreign", incarnation="5e0c7a91", sequence=sequence,
            time_ms=T + 1000 * sequence, item=item, type=ItemType.DOCUMENT, state={"name": item},
        )
    )  # fmt: skip


def records() -> list[Outgoing]:
    """The second of three is where nobody looks for its account; then nothing anybody can read."""
    key, content = ANN.encode(), b"never sent whole"
    digest = digest_of(content)
    part = Chunk(schema=1, digest=digest, upload="u", offset=5, total=16, data=content[5:])
    return [
        Outgoing(TRANSACTIONS, key, put(1, "one")),
        Outgoing(TRANSACTIONS, key, put(2, "two"), WRONG),
        Outgoing(TRANSACTIONS, key, put(3, "three")),
        Outgoing(TRANSACTIONS, key, ESCAPING),
        Outgoing(BLOBS, digest.encode(), encode_event(part)),
    ]


@pytest.fixture
def backup(tmp_path: Path) -> Backup:
    made = Backup(tmp_path / "backup").init()
    with made.service() as running:
        made.publish_raw(records())
        running.wait_until_caught_up()
    return made


def listed(backup: Backup, *words: object) -> list[dict[str, Any]]:
    return list(backup.json("quarantine", "list", *words))


def because(backup: Backup, reason: str) -> dict[str, Any]:
    """The one that was set aside with this in its reason."""
    (row,) = [row for row in listed(backup) if reason in row["reason"]]
    return row


def doubts(backup: Backup) -> list[str]:
    return [doubt["reason"] for doubt in backup.json("account", "show", ANN)["in_doubt"]]


def test_what_was_set_aside_is_listed_and_shown(backup: Backup) -> None:
    misplaced, part, junk = (because(backup, text) for text in ("murmur2", "beginning", "begins"))
    assert (misplaced["account"], misplaced["kind"]) == (ANN, "record")
    assert len(listed(backup)) == 3
    assert listed(backup, "--topic", BLOBS) == [part]
    assert len(listed(backup, "--account", ANN)) == 2
    assert listed(backup, "--since", "1h ago", "--account", "nobody") == []
    assert junk["id"] in backup.ask("quarantine", "list").text

    shown = backup.ask("quarantine", "show", junk["id"])
    assert b"\x1b" not in shown.output
    assert r"\x1b[2Jjunk\xff" in shown.text
    assert backup.ask("quarantine", "show", junk["id"], "--raw").output == ESCAPING
    told = backup.json("quarantine", "show", misplaced["id"])
    assert base64.b64decode(told["value"]) == put(2, "two")
    assert base64.b64decode(told["key"]) == ANN.encode()
    audit = (backup.path / "audit.jsonl").read_text().splitlines()
    assert msgspec.json.decode(audit[-1])["command"] == "quarantine show"


def test_what_can_be_used_is_published_again_and_its_account_is_whole(backup: Backup) -> None:
    before = doubts(backup)
    planned = backup.json("quarantine", "retry", "--dry-run", code=14)
    first = backup.json("quarantine", "retry", code=14)
    with backup.service() as running:
        running.wait_until_caught_up()
    second = backup.json("quarantine", "retry", code=14)

    assert ["never came" in reason for reason in before].count(True) == 1
    outcomes = [sorted(one["outcome"] for one in told) for told in (planned, first, second)]
    assert outcomes == [
        ["ready", "unusable", "unusable"],
        ["published", "unusable", "unusable"],
        ["came", "unusable", "unusable"],
    ]
    assert [one["transaction"] for one in first if "transaction" in one] == ["foreign:5e0c7a91:2"]
    assert sorted(backup.reader().history(ANN).items) == ["one", "three", "two"]
    assert [reason.partition(":")[0] for reason in doubts(backup)] == ["a record is in quarantine"]
    assert len(listed(backup)) == 3


def test_one_is_retried_by_its_origin(backup: Backup) -> None:
    row = because(backup, "murmur2")
    (told,) = backup.json("quarantine", "retry", row["id"])
    unknown = f"{TRANSACTIONS}/{'0' * 16}/0/0"

    assert (told["id"], told["outcome"]) == (row["id"], "published")
    assert "was set aside" in backup.ask("quarantine", "retry", unknown, code=3).errors
    assert (
        "exclude" in backup.ask("quarantine", "retry", row["id"], "--topic", BLOBS, code=2).errors
    )


def test_a_damaged_file_is_listed_shown_and_given_out(backup: Backup) -> None:
    place = f"journal/{'a' * 16}/{TRANSACTIONS}/0/0000000001-{'b' * 16}-{0:020d}.journal"
    file = backup.path / "quarantine" / place
    file.parent.mkdir(parents=True)
    file.write_bytes(ESCAPING)
    (row,) = [row for row in listed(backup) if row["kind"] == "file"]

    assert (row["id"], row["size"], row["topic"]) == (place, len(ESCAPING), TRANSACTIONS)
    assert str(file) in backup.ask("quarantine", "show", place).text
    assert backup.ask("quarantine", "show", place, "--raw").output == ESCAPING
