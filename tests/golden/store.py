"""A tiny store with everything in it that a reader has to get right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from streambackup.blobs.compression import Compression, CompressionSettings, encode_blob
from streambackup.blobs.loose import LooseWriter, put_in_place
from streambackup.bus.port import partition_of
from streambackup.domain.digest import digest_of
from streambackup.domain.entry import ItemType
from streambackup.domain.transaction import Position, TransactionId
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
from streambackup.journal.cover import Cover
from streambackup.journal.frame import FrameKind
from streambackup.journal.life import Life, write_life
from streambackup.journal.mark import FiledMark
from streambackup.journal.owner import PartitionOwner, StoreIdentity
from streambackup.journal.payload import Blobs, MetBlob, Records, StoredBlob, encode_payload
from streambackup.journal.place import Place
from streambackup.journal.segment import PartitionPath
from streambackup.metadata.store_config import STORE_FILE, StoreConfig, encode_store_config
from streambackup.reading.account_info import write_account_infos
from streambackup.realtime.filing import FilingRequest, file_partition
from streambackup.realtime.takeover import last_record
from streambackup.runtime.disk import Disk
from streambackup.testing.memory_bus import MemoryRecord

GENERATION = "9f86d081884c7d65"
PARTITIONS = 2
TIME_MS = 1_795_262_400_000
IDENTITY = StoreIdentity(
    store="5" * 32, node="0123456789abcdef", moment_ms=100, ignored_attributes=("last_login_ms",)
)
ANN, TWIN = "ann@example.org", "ANN@example.org"
ODD, LONG = "../\0/ä ☕", "ß" * 300 + "d"
MAIL, DRAFT, PACKED = b"At one?\r\n" * 30, b"At two?\r\n" * 30, b"\x28\xb5\x2f\xfd or so"
MISSING = digest_of(b"never published")


class Author:
    """Numbers the transactions of one source and account."""

    def __init__(self, account: str, source: str = "acme") -> None:
        self._account = account
        self._source = source
        self._sequence = 0

    def _id(self, after_ms: int) -> dict[str, Any]:
        self._sequence += 1
        return {
            "schema": 1,
            "generation": GENERATION,
            "account": self._account,
            "source": self._source,
            "incarnation": "5e0c7a91",
            "sequence": self._sequence,
            "time_ms": TIME_MS + after_ms,
        }

    def put(
        self,
        item: str,
        after_ms: int,
        *,
        type: ItemType = ItemType.MESSAGE,
        content: bytes | None = None,
        after: Any = None,
        **state: Any,
    ) -> Put:
        return Put(
            **self._id(after_ms),
            item=item,
            type=type,
            state=state,
            digest=None if content is None else digest_of(content),
            size=None if content is None else len(content),
            content=None if content is None else Position(GENERATION, 0, 1),
            after=after,
        )

    def delete(self, item: str, after_ms: int, *, after: Any = None) -> Delete:
        return Delete(**self._id(after_ms), item=item, after=after)

    def empty_folder(self, folder: str, after_ms: int) -> EmptyFolder:
        return EmptyFolder(**self._id(after_ms), folder=folder)

    def folder_delete(self, folder: str, after_ms: int) -> FolderDelete:
        return FolderDelete(**self._id(after_ms), folder=folder)

    def account_delete(self, after_ms: int) -> AccountDelete:
        return AccountDelete(**self._id(after_ms))

    def skip(self) -> None:
        """Leave a hole in the numbers."""
        self._sequence += 1


def life_of_ann() -> Iterator[MailboxEvent]:
    """Runs, moves, edits, conditions, a late transaction, a re-send and a deletion."""
    ann, audit = Author(ANN), Author(ANN, "audit")
    account: dict[str, Any] = {"type": ItemType.ACCOUNT, "address": ANN}
    yield ann.put(ANN, 0, **account, password_hash="{SSHA}1", last_login_ms=0)
    yield ann.put("1", 10, type=ItemType.FOLDER, name="Inbox", parent=None, use="inbox")
    yield ann.put("2", 20, type=ItemType.FOLDER, name="Trash", parent=None, use="trash")
    read = [
        ann.put("10", 1_000 + at, content=MAIL, folder="1", flags=["seen"] * (at % 2), subject="L")
        for at in (0, 30, 60, 95, 130)
    ]
    yield from read
    yield read[-1]
    yield ann.put("11", 2_000, content=DRAFT, folder="1", flags=["draft"])
    yield ann.put("11", 3_000, content=PACKED, folder="1", flags=["draft"])
    late = ann.put("10", 2_500, content=MAIL, folder="1", flags=["flagged"])
    yield ann.put("10", 4_000, content=MAIL, folder="2", flags=["seen"], subject="L")
    yield late
    yield audit.put("12", 4_100, type=ItemType.TASK, title="never seen", after="never-seen")
    yield audit.delete("10", 4_200, after=TransactionId("acme", "5e0c7a91", 1))
    yield ann.delete("10", 5_000)
    yield ann.put(ANN, 6_000, **account, password_hash="{SSHA}2")
    yield ann.put(ANN, 7_000, **account, password_hash="{SSHA}2", last_login_ms=1)
    yield Marker(schema=1, kind=MarkerKind.SCAN_DONE, time_ms=TIME_MS + 7_500, account=ANN)
    yield msgspec.structs.replace(ann.put("13", 8_000, folder="1"), digest=MISSING, size=15)
    yield ann.put("14", 8_500, type=ItemType.CONTACT, folder="1", name="Bob", x={"y": [1, None]})


def lives_of_others() -> Iterator[MailboxEvent]:
    """A twin by case, an id that would escape, one too long; folders emptied and deleted."""
    twin, odd, long = Author(TWIN), Author(ODD), Author(LONG)
    yield twin.put("10", 0, content=MAIL, folder="1")
    yield twin.account_delete(9_000)
    yield odd.put("f", 0, type=ItemType.FOLDER, name="../..")
    yield odd.put("g", 1, type=ItemType.FOLDER, name="g", parent="f")
    yield odd.put("\0/..", 2, type=ItemType.DOCUMENT, content=PACKED, name="/tmp", folder="g")
    yield odd.put("e", 3, type=ItemType.APPOINTMENT, folder="f", summary="Lunch")
    yield odd.empty_folder("f", 4)
    yield odd.folder_delete("f", 5)
    odd.skip()
    yield odd.put("c", 6, type=ItemType.CONTACT_GROUP, folder="f", name="after a hole")
    yield long.put("10", 0, content=DRAFT, folder="1")
    yield long.put("11", 1, folder="1")


def records() -> list[list[MemoryRecord]]:
    """What stands in each partition of the topic."""
    topic: list[list[MemoryRecord]] = [[] for _ in range(PARTITIONS)]
    for partition in topic:
        begin = Marker(
            schema=1, generation=GENERATION, kind=MarkerKind.GENERATION_BEGIN, time_ms=TIME_MS
        )
        _publish(partition, None, encode_event(begin))
    for number, event in enumerate([*life_of_ann(), *lives_of_others()]):
        assert event.account is not None
        key = event.account.encode()
        value = msgspec.json.encode(event) if number % 7 == 3 else encode_event(event)
        _publish(topic[partition_of(key, PARTITIONS)], key, value)
    home = topic[partition_of(ANN.encode(), PARTITIONS)]
    _publish(home, ANN.encode(), b"\xc1 is no event")
    _publish(home, ANN.encode(), None)
    return topic


def _publish(partition: list[MemoryRecord], key: bytes | None, value: bytes | None) -> None:
    published_ms = TIME_MS + 10_000 + len(partition)
    partition.append(MemoryRecord(len(partition), key, value, published_ms))


class StoreBuilder:
    """Journals and files as workers do, with a cut where a test wants one."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._disk = Disk()

    def begin(self) -> None:
        config = StoreConfig(
            store=IDENTITY.store,
            created_ms=TIME_MS,
            moment_ms=IDENTITY.moment_ms,
            ignored_attributes=IDENTITY.ignored_attributes,
        )
        self._disk.ensure_directories(self._root)
        self._disk.replace(self._root / STORE_FILE, encode_store_config(config))
        self._disk.replace(self._root / "backupstat", b"2026-11-21T12:00:00.000Z\n")
        life = Life(
            generation=GENERATION,
            number=1,
            predecessor=None,
            partitions=PARTITIONS,
            blob_partitions=1,
            transactions_topic="mailbox.transactions",
            blobs_topic="mailbox.blobs",
        )
        write_life(self._root, life, self._disk)

    def own(self, topic: str, partition: int, epoch: int, position: int) -> PartitionOwner:
        path = PartitionPath(self._root, GENERATION, topic, partition)
        return PartitionOwner(path, self._disk, IDENTITY, epoch, Cover(end=position))

    def journal(self, owner: PartitionOwner, batch: Sequence[MemoryRecord]) -> None:
        last = last_record(batch[-1])
        payload = encode_payload(Records.of(batch))
        owner.append(FrameKind.RECORDS, payload, batch[-1].offset + 1, last)

    def file(self, owner: PartitionOwner) -> None:
        owner.seal()
        last = owner.last
        mark = FiledMark(owner.position, last.crc, last.published_ms, TIME_MS + 60_000)
        path = owner.path
        where = Place(path.partition, PARTITIONS, GENERATION)
        request = FilingRequest(
            self._root, path.topic, where, *owner.epoch, IDENTITY.moment_ms, mark
        )
        filed = file_partition(request, self._disk)
        write_account_infos(self._root, filed.described, self._disk)

    def blobs(self) -> None:
        """Each content in a form of its own, and a journal that knows them."""
        forms = {
            MAIL: CompressionSettings(Compression.GZIP, 6),
            DRAFT: CompressionSettings(Compression.ZSTD, 3),
            PACKED: CompressionSettings(Compression.NONE),
        }
        packed = {digest_of(content): encode_blob(content, form) for content, form in forms.items()}
        owner = self.own("mailbox.blobs", 0, 1, 0)
        writer = LooseWriter(self._root, f"{owner.path.generation}-0-{owner.epoch}", self._disk)
        files = [(digest, written(writer, data)) for digest, data in packed.items()]
        put_in_place(self._root, self._disk, files)
        writer.close()
        stored = [
            StoredBlob(digest_of(content), len(content), len(packed[digest_of(content)]), offset)
            for offset, content in enumerate(forms)
        ]
        met = [MetBlob(digest_of(MAIL), 3)]
        last = last_record(MemoryRecord(3, b"", b"", TIME_MS + 20_000))
        owner.append(FrameKind.BLOBS, encode_payload(Blobs(stored, met, [], [])), 4, last)
        owner.seal()


def build_store(root: Path) -> None:
    """The first epoch files half of each partition; the second records a gap that the first, not
    dead at all, closes; its own half is journalled only, but for a retired segment.
    """
    builder = StoreBuilder(root)
    builder.begin()
    for partition, all_records in enumerate(records()):
        half = len(all_records) // 2
        first = builder.own("mailbox.transactions", partition, 1, 0)
        builder.journal(first, all_records[: half // 2])
        builder.journal(first, all_records[half // 2 : half])
        builder.file(first)
        first.path.path_of(first.path.segments()[0]).unlink()
        builder.journal(first, all_records[half : half + 2])
        second = builder.own("mailbox.transactions", partition, 2, half)
        second.append_gap(half + 1, "the golden gap", TIME_MS)
        builder.journal(second, all_records[half + 1 :])
        first.seal()
        second.seal()
    builder.blobs()


def written(writer: LooseWriter, data: bytes) -> Path:
    """The file that has *data*, not in its place yet."""
    file = writer.open()
    file.write(data)
    file.close()
    return file.path
