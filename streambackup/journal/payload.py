"""What frames carry, as MessagePack arrays. Layout in docs/format.md, "Journal"."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

import msgspec

from streambackup.bus.port import Record
from streambackup.domain.crc import crc32c, crc32c_extend
from streambackup.errors import newer_release


class EpochOpened(msgspec.Struct, frozen=True, array_like=True):
    """First frame of every segment: who writes, and the settings in effect where it took over.

    Where that is, and which record stands before it, is in the frame's own header.
    """

    store: str
    epoch: int
    writer: str
    node: str
    moment_ms: int
    ignored_attributes: tuple[str, ...]


class Quarantined(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A record that cannot be used, kept whole, and why."""

    offset: int
    published_ms: int
    reason: str
    key: bytes | None
    value: bytes | None


Row = tuple[int, int, bytes | None, bytes | None]
"""Offset, publish time in ms, key and value of a record."""


class Records(msgspec.Struct, frozen=True, array_like=True):
    """Consecutive records of ``mailbox.transactions`` as they came, a column for each part."""

    offsets: list[int]
    published_ms: list[int]
    keys: list[bytes | None]
    values: list[bytes | None]

    @classmethod
    def of(cls, records: Sequence[Record]) -> Records:
        """A batch as the bus hands it out."""
        return cls(
            [record.offset for record in records],
            [record.timestamp for record in records],
            [record.key for record in records],
            [record.value for record in records],
        )

    @classmethod
    def joined(cls, batches: Iterable[Records]) -> Records:
        """Batches that follow one another, as one."""
        whole = cls([], [], [], [])
        for batch in batches:
            whole.offsets.extend(batch.offsets)
            whole.published_ms.extend(batch.published_ms)
            whole.keys.extend(batch.keys)
            whole.values.extend(batch.values)
        return whole

    @classmethod
    def of_rows(cls, rows: Iterable[Row]) -> Records:
        columns: tuple[list[Any], ...] = ([], [], [], [])
        for row in rows:
            for column, part in zip(columns, row, strict=True):
                column.append(part)
        return cls(*columns)

    def ahead_of(self, at: int) -> Records:
        """The first *at* of them."""
        return Records(self.offsets[:at], self.published_ms[:at], self.keys[:at], self.values[:at])

    def rows(self) -> Iterator[Row]:
        return zip(self.offsets, self.published_ms, self.keys, self.values, strict=True)


class Gap(msgspec.Struct, frozen=True, array_like=True):
    """Offsets that the bus no longer has, or that belong to another life of the topic."""

    reason: str
    time_ms: int


class StoredBlob(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A digest whose content is durable. ``offset`` is that of its last chunk, or the position of
    who took it from another place than the topic.
    """

    digest: str
    size: int
    stored_size: int
    offset: int


class MetBlob(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A digest met again: content or a reference at this offset."""

    digest: str
    offset: int


class GivenUp(msgspec.Struct, frozen=True, array_like=True):
    """An upload that the position went past, unfinished."""

    digest: str
    upload: str
    first_offset: int
    received: int
    total: int


class Blobs(msgspec.Struct, frozen=True, array_like=True):
    """A batch of ``mailbox.blobs``.

    The frame ends at the position, which waits for unfinished uploads.
    """

    stored: list[StoredBlob]
    met: list[MetBlob]
    given_up: list[GivenUp]
    quarantined: list[Quarantined]


_encode = msgspec.msgpack.Encoder().encode

_P = TypeVar("_P", EpochOpened, Records, Gap, Blobs)


def encode_payload(payload: EpochOpened | Records | Gap | Blobs) -> bytes:
    return _encode(payload)


def decode_payload(data: bytes, kind: type[_P]) -> _P:
    """The payload of a frame whose checksum held. Raises StoreError for another layout."""
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except msgspec.MsgspecError as error:
        raise newer_release(f"a journal frame ({error})") from error


def record_crc(key: bytes | None, value: bytes | None, timestamp: int) -> int:
    """The record checksum that tells a topic from its successor of the same name."""
    crc = crc32c(key or b"")
    crc = crc32c_extend(crc, value or b"")
    return crc32c_extend(crc, timestamp.to_bytes(8, "little", signed=True))
