"""Records packed into blocks, the rows of a topic's table.

A row per record would cost a step of the database, and a turn at the interpreter's lock, for each;
a block costs one for a thousand.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from streambackup.errors import BusError

Pair = tuple[bytes | None, bytes | None]

BLOCK_BYTES = 1024 * 1024  # a block is closed at this size; one record may exceed it
BLOCK_RECORDS_MAX = 10_000
RECORD_OVERHEAD_BYTES = 12  # at most, for the lengths of key and value

_OFFSET_BITS = 48

_decoder = msgspec.msgpack.Decoder(list[Pair])


class StoredRecord(NamedTuple):
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int


class Block(NamedTuple):
    """Records of one partition that were published together, their offsets without holes."""

    last: int
    records: int
    timestamp: int
    payload: bytes

    @property
    def first(self) -> int:
        return self.last - self.records + 1


def row_id(partition: int, offset: int) -> int:
    """The row of the block that ends at *offset*: rows stand in the order of partitions,
    then offsets.
    """
    return partition << _OFFSET_BITS | offset


def offset_of(row: int) -> int:
    return row & (1 << _OFFSET_BITS) - 1


def pack(pairs: Sequence[Pair], *, begin: int, timestamp: int, alone: bool) -> Iterator[Block]:
    """Blocks of *pairs*, the first of which gets the offset *begin*; one each if *alone*."""
    held: list[Pair] = []
    size = 0
    for pair in pairs:
        key, value = pair
        held.append(pair)
        size += len(key or b"") + len(value or b"") + RECORD_OVERHEAD_BYTES
        if alone or size >= BLOCK_BYTES or len(held) >= BLOCK_RECORDS_MAX:
            yield _block(held, begin, timestamp)
            begin += len(held)
            held, size = [], 0
    if held:
        yield _block(held, begin, timestamp)


def _block(pairs: list[Pair], begin: int, timestamp: int) -> Block:
    return Block(begin + len(pairs) - 1, len(pairs), timestamp, msgspec.msgpack.encode(pairs))


def unpack(block: Block, *, offset: int, records_max: int) -> list[StoredRecord]:
    """Up to *records_max* records of *block* at or after *offset*.

    Raises:
        BusError: the block is damaged.
    """
    try:
        pairs = _decoder.decode(block.payload)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise BusError(f"records {block.first} to {block.last} are damaged: {error}") from error
    if len(pairs) != block.records:
        raise BusError(f"records {block.first} to {block.last} are damaged: {len(pairs)} found")
    skip = max(0, offset - block.first)
    timestamp = block.timestamp
    return [
        StoredRecord(number, key, value, timestamp)
        for number, (key, value) in enumerate(
            pairs[skip : skip + records_max], start=block.first + skip
        )
    ]
