"""Makes the golden files of a release, once: what it writes, for every later release to read.

Usage: scripts/golden. It refuses where the release in pyproject.toml has its files.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from streambackup.blobs.compression import Compression, CompressionSettings, encode_blob
from streambackup.domain.digest import digest_of
from streambackup.domain.entry import ItemType, Member
from streambackup.domain.partition_event import PartitionEvent, PartitionEventKind
from streambackup.domain.transaction import Position, TransactionId
from streambackup.events.blob import BlobEvent, Chunk, Reference
from streambackup.events.codec import encode_event
from streambackup.events.mailbox import (
    AccountDelete,
    Delete,
    EmptyFolder,
    FolderDelete,
    MailboxEvent,
    Marker,
    MarkerKind,
    Put,
)
from streambackup.journal.content_checksum import content_checksum
from streambackup.journal.frame import FILE_MAGIC, NO_RECORD, FrameKind, LastRecord, encode_frame
from streambackup.journal.life import Life, encode_life
from streambackup.journal.line import Line
from streambackup.journal.mark import FiledMark, encode_mark
from streambackup.journal.payload import (
    Blobs,
    EpochOpened,
    Gap,
    GivenUp,
    MetBlob,
    Quarantined,
    Records,
    StoredBlob,
    encode_payload,
)
from streambackup.journal.segment import EpochName
from streambackup.metadata.account_log import encode_line, merged_name
from streambackup.metadata.compaction import merged_lines
from streambackup.metadata.store_config import StoreConfig, encode_store_config
from tests.golden.store import build_store
from tests.golden.telling import TOLD

HERE = Path(__file__).parent
GENERATION = "9f86d081884c7d65"
EPOCH = EpochName(1, "00c0ffee00c0ffee")
CLOSER = EpochName(9, "00decade00decade")
TIME_MS = 1_795_262_400_000
MAIL = b"Subject: Lunch\r\n\r\nAt one?\r\n" * 10
NOISE = bytes(range(256))

_ID: dict[str, Any] = {
    "schema": 1,
    "account": "ann@example.org",
    "source": "acme",
    "incarnation": "5e0c7a91",
    "sequence": 17,
    "time_ms": TIME_MS,
}
_PLACE = Position(GENERATION, 25, 2**40)
_STATES: dict[ItemType, dict[str, Any]] = {
    ItemType.MESSAGE: {"folder": "2", "flags": ["seen"], "subject": "Lunch ☕"},
    ItemType.CONTACT: {"folder": "7", "name": "Bob", "emails": ["bob@example.net"]},
    ItemType.CONTACT_GROUP: {"folder": "7", "name": "Lunch", "members": ["258"]},
    ItemType.FOLDER: {"name": "Inbox", "parent": None, "use": "inbox"},
    ItemType.APPOINTMENT: {"folder": "10", "start_ms": TIME_MS},
    ItemType.TASK: {"title": "Book a table", "priority": "high"},
    ItemType.DOCUMENT: {"name": "menu.txt", "modified_ms": TIME_MS},
    ItemType.ACCOUNT: {
        "address": "ann@example.org",
        "preferences": {"width": 0.4, "wide": True, "list": [1, -1, [], {}, 2**63 - 1, 1e300]},
    },
}


def events() -> Iterator[tuple[str, MailboxEvent | BlobEvent]]:
    """One of every kind, and every form of their optional fields."""
    for item_type, state in _STATES.items():
        yield f"put-{item_type}", Put(**_ID, item="257", type=item_type, state=state)
    yield (
        "put-everything",
        Put(
            **_ID,
            generation=GENERATION,
            change=2**53,
            item="../257\0",
            type=ItemType.MESSAGE,
            state={"folder": "2", "unknown": {"to": ["this", None, "release"]}},
            digest=digest_of(MAIL),
            size=len(MAIL),
            content=_PLACE,
            after=TransactionId("acme", "5e0c7a91", 16),
        ),
    )
    yield (
        "put-never-seen",
        Put(**_ID, item="1", type=ItemType.TASK, state={"title": ""}, after="never-seen"),
    )
    yield "delete", Delete(**_ID, item="257")
    yield "delete-after", Delete(**_ID, item="1", after=TransactionId("acme", "5e0c7a91", 16))
    yield "empty-folder", EmptyFolder(**_ID, folder="3", recursive=True)
    yield "folder-delete", FolderDelete(**_ID, folder="3")
    yield "account-delete", AccountDelete(**_ID, after="never-seen")
    for kind in MarkerKind:
        yield f"marker-{kind}", Marker(schema=1, kind=kind, time_ms=TIME_MS, generation=GENERATION)
    yield (
        "marker-account",
        Marker(
            schema=1,
            kind=MarkerKind.SCAN_DONE,
            time_ms=TIME_MS,
            account="ann@example.org",
            id="3f2a",
        ),
    )
    yield (
        "chunk",
        Chunk(
            schema=1, digest=digest_of(NOISE), upload="u1", offset=0, total=len(NOISE), data=NOISE
        ),
    )
    yield (
        "chunk-empty",
        Chunk(schema=1, digest=digest_of(b""), upload="u2", offset=0, total=0, data=b""),
    )
    yield "reference", Reference(schema=1, digest=digest_of(NOISE), size=len(NOISE))


def _earlier(event: Put, offset: int) -> Member:
    id = TransactionId(event.source, event.incarnation, event.sequence)
    return Member(id, event.time_ms, event.change, offset, TIME_MS + 5, content_checksum(event))


_PUT = Put(**_ID, item="257", type=ItemType.MESSAGE, state=_STATES[ItemType.MESSAGE])
_LATER = msgspec.structs.replace(_PUT, sequence=18, change=4)
_ASIDE = Quarantined(13, TIME_MS + 9, "the record has no value", b"ann@example.org", None)
_LAST = LastRecord(0xDEADBEEF, TIME_MS + 9)


def frames() -> dict[str, bytes]:
    """One of every kind."""
    opened = EpochOpened("5" * 32, 1, EPOCH.writer, "node", 100, ("last_login_ms",))
    key = b"ann@example.org"
    records = Records(
        [11, 12, 13, 14],
        [TIME_MS + 5, TIME_MS + 5, TIME_MS + 9, TIME_MS + 9],
        [key, key, key, key],
        [
            encode_event(_PUT),
            encode_event(_LATER),
            None,
            msgspec.json.encode(Delete(**_ID, item="258")),
        ],
    )
    blobs = Blobs(
        [StoredBlob(digest_of(MAIL), len(MAIL), 60, 3)],
        [MetBlob(digest_of(NOISE), 4)],
        [GivenUp(digest_of(b""), "u3", 1, 5, 2**40)],
        [_ASIDE],
    )
    return {
        "epoch": encode_frame(
            FrameKind.EPOCH, GENERATION, 11, 11, NO_RECORD, encode_payload(opened)
        ),
        "records": encode_frame(
            FrameKind.RECORDS, GENERATION, 11, 15, _LAST, encode_payload(records)
        ),
        "gap": encode_frame(
            FrameKind.GAP,
            GENERATION,
            15,
            2**40,
            LastRecord(None, TIME_MS),
            encode_payload(Gap("the topic begins at 1099511627776", TIME_MS)),
        ),
        "blobs": encode_frame(FrameKind.BLOBS, GENERATION, 0, 5, _LAST, encode_payload(blobs)),
    }


def account_log() -> bytes:
    run = (_earlier(_PUT, 11),)
    lines = [Line(GENERATION, 0, 12, TIME_MS + 5, _LATER, run)]
    for offset, (_, event) in enumerate(events(), 20):
        if not isinstance(event, Chunk | Reference) and event.account is not None:
            lines.append(Line(GENERATION, 0, offset, TIME_MS + 9, event))
    return b"".join(map(encode_line, lines))


def merged_log() -> bytes:
    """What two logs that share some lines become."""
    lines = account_log().splitlines(keepends=True)
    return b"".join(merged_lines([lines[::2], lines[1:]]))


def partition_log() -> bytes:
    place = Position(GENERATION, 0, 15)
    return b"".join(
        encode_line(event)
        for event in (
            PartitionEvent(
                kind=PartitionEventKind.GAP, position=place, end=20, time_ms=TIME_MS, reason="gone"
            ),
            PartitionEvent(
                kind=PartitionEventKind.MARKER,
                position=Position(GENERATION, 0, 20),
                end=21,
                time_ms=TIME_MS,
                reason="generation-begin",
            ),
            PartitionEvent(
                kind=PartitionEventKind.QUARANTINE,
                position=Position(GENERATION, 0, 21),
                end=22,
                time_ms=TIME_MS,
                reason="not an event",
                account="ann@example.org",
                key=b"ann@example.org",
                value=NOISE,
            ),
        )
    )


def blobs() -> dict[str, bytes]:
    """Content in each stored form."""
    none = CompressionSettings(Compression.NONE)
    return {
        "gzip": encode_blob(MAIL, CompressionSettings(Compression.GZIP, 6)),
        "gzip-fast": encode_blob(MAIL, CompressionSettings(Compression.GZIP, 1)),
        "gzip-stored": encode_blob(NOISE, CompressionSettings(Compression.GZIP, 6)),
        "zstd": encode_blob(MAIL, CompressionSettings(Compression.ZSTD, 3)),
        "none": encode_blob(MAIL, none),
        "none-packed": encode_blob(b"\x1f\x8b is how this content begins", none),
        "none-empty": encode_blob(b"", none),
    }


def small_files() -> dict[str, bytes]:
    life = Life(
        generation=GENERATION,
        number=1,
        predecessor=None,
        partitions=64,
        blob_partitions=64,
        transactions_topic="mailbox.transactions",
        blobs_topic="mailbox.blobs",
    )
    mark = FiledMark(15, 0xDEADBEEF, TIME_MS + 9, TIME_MS + 60_000, records=14)
    whole = FILE_MAGIC + b"".join(frames().values())
    return {
        "streambackup.json": encode_store_config(StoreConfig(store="5" * 32, created_ms=TIME_MS)),
        "generation.json": encode_life(life),
        f"{EPOCH}.filed": encode_mark(mark),
        f"{EPOCH}.{CLOSER}.closed": encode_mark(mark),
        f"{EPOCH}.jsonl": account_log(),
        merged_name(CLOSER, hashlib.sha256(merged_log()).hexdigest()): merged_log(),
        f"{EPOCH}.partition.jsonl": partition_log(),
        f"{EPOCH}-{11:020d}.journal": whole,
        f"{EPOCH}-{2**40:020d}.journal": whole[:-7],
    }


def make(release: Path) -> None:
    """Write the files of *release*, and beside each what it says."""
    folders = {
        "events": {f"{name}.msgpack": encode_event(event) for name, event in events()},
        "frames": {f"{name}.frame": frame for name, frame in frames().items()},
        "files": small_files(),
        "blobs": {f"{name}.blob": data for name, data in blobs().items()},
    }
    for folder, files in folders.items():
        (release / folder).mkdir(parents=True)
        for name, data in files.items():
            (release / folder / name).write_bytes(data)
    build_store(release / "store")
    for pattern, tell, _ in TOLD:
        for file in sorted(release.glob(pattern)):
            said = msgspec.json.encode(tell(file), order="sorted")
            beside = file.with_name(f"{file.name}.said.json")
            beside.write_bytes(msgspec.json.format(said) + b"\n")


def main() -> None:
    release = HERE / importlib.metadata.version("streambackup")
    if release.exists():
        sys.exit(f"golden: {release.name} has its files; what a release wrote is never made again")
    make(release)
    sys.stdout.write(f"golden: {sum(1 for _ in release.rglob('*'))} files in {release.name}\n")


if __name__ == "__main__":
    main()
