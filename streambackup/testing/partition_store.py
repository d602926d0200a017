"""A store of one partition, worked on step by step, without a bus or a worker."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from streambackup.bus.port import Record
from streambackup.events.topics import BLOBS, TRANSACTIONS
from streambackup.journal.admission import first_foreign
from streambackup.journal.frame import FrameKind, LastRecord
from streambackup.journal.life import Life, write_life
from streambackup.journal.mark import FiledMark, farthest_mark
from streambackup.journal.owner import PartitionOwner, StoreIdentity, inherit
from streambackup.journal.payload import Records, encode_payload, record_crc
from streambackup.journal.segment import PartitionPath
from streambackup.metadata.store_config import STORE_FILE, StoreConfig, encode_store_config
from streambackup.reading.store_reader import StoreReader
from streambackup.realtime.filing import Filed, FilingRequest, file_partition
from streambackup.runtime.disk import Disk
from streambackup.testing.epochs import PLACE, batches
from streambackup.testing.events import GENERATION, MOMENT_MS, TIME_MS

TOPIC = TRANSACTIONS


def life(generation: str = GENERATION, number: int = 1, partitions: int = 1) -> Life:
    return Life(
        generation=generation,
        number=number,
        predecessor=None,
        partitions=partitions,
        blob_partitions=partitions,
        transactions_topic=TOPIC,
        blobs_topic=BLOBS,
    )


def identity(moment_ms: int = MOMENT_MS, ignored: Collection[str] = ()) -> StoreIdentity:
    return StoreIdentity(
        store="5" * 32, node="node", moment_ms=moment_ms, ignored_attributes=tuple(ignored)
    )


def make_store(root: Path, *, moment_ms: int = MOMENT_MS, ignored: Collection[str] = ()) -> None:
    """What ``init`` leaves, as far as readers and workers need it."""
    root.mkdir(parents=True, exist_ok=True)
    config = StoreConfig(
        store="5" * 32, created_ms=0, moment_ms=moment_ms, ignored_attributes=tuple(ignored)
    )
    (root / STORE_FILE).write_bytes(encode_store_config(config))


class PartitionStore:
    """Partition 0 of the only one, in the builders' generation."""

    def __init__(
        self,
        root: Path,
        disk: Disk | None = None,
        *,
        moment_ms: int = MOMENT_MS,
        ignored: Collection[str] = (),
    ) -> None:
        self.root = root
        make_store(root, moment_ms=moment_ms, ignored=ignored)
        self.disk = disk or Disk()
        self.identity = identity(moment_ms, ignored)
        self.path = PartitionPath(root, GENERATION, TOPIC, 0)
        write_life(root, life(), Disk())

    def own(self) -> PartitionOwner:
        """Take over: the next epoch, at the end of the cover."""
        cover, epoch, _ = inherit(self.path, self.disk)
        return PartitionOwner(self.path, self.disk, self.identity, epoch, cover)

    def journal(
        self, owner: PartitionOwner, records: Sequence[Record], cuts: Collection[int] = ()
    ) -> None:
        """Append what *owner* has not, a frame for each batch."""
        fresh = [record for record in records if record.offset >= owner.position]
        for batch in batches(fresh, cuts):
            self.append(owner, batch)

    def append(self, owner: PartitionOwner, batch: Sequence[Record]) -> None:
        """Append one batch as a frame."""
        assert first_foreign(Records.of(batch), PLACE) is None
        last = batch[-1]
        owner.append(
            FrameKind.RECORDS,
            encode_payload(Records.of(batch)),
            last.offset + 1,
            LastRecord(record_crc(last.key, last.value, last.timestamp), last.timestamp),
        )

    def request(self, owner: PartitionOwner) -> FilingRequest:
        """What *owner* asks of its filer after sealing."""
        owner.seal()
        mark = FiledMark(owner.position, owner.last.crc, owner.last.published_ms, TIME_MS)
        return FilingRequest(self.root, TOPIC, PLACE, *owner.epoch, self.identity.moment_ms, mark)

    def file(self, owner: PartitionOwner) -> Filed:
        """Seal what *owner* has open and file everything up to its position."""
        return file_partition(self.request(owner), self.disk)

    @property
    def filed_to(self) -> int:
        return farthest_mark(self.path).filed_to

    def reader(self) -> StoreReader:
        """A view of the store as it is now."""
        return StoreReader(self.root)
