"""Records in blocks: whatever is packed is found again at its offset."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streambackup.bus.embedded.blocks import (
    BLOCK_BYTES,
    BLOCK_RECORDS_MAX,
    Block,
    Pair,
    offset_of,
    pack,
    row_id,
    unpack,
)
from streambackup.errors import BusError

keys = st.none() | st.binary(max_size=8)
pairs = st.lists(st.tuples(keys, keys), min_size=1, max_size=50)
offsets = st.integers(0, 1 << 40)


@given(pairs, offsets, st.integers(0, 60), st.integers(1, 60), st.booleans())
def test_any_stretch_of_what_was_packed_comes_back(
    pairs: list[Pair], begin: int, skip: int, records_max: int, alone: bool
) -> None:
    offset = begin + min(skip, len(pairs) - 1)
    blocks = list(pack(pairs, begin=begin, timestamp=7, alone=alone))
    found = [
        record
        for block in blocks
        if block.last >= offset
        for record in unpack(block, offset=offset, records_max=records_max)
    ][:records_max]
    expected = list(enumerate(pairs, start=begin))[offset - begin :][:records_max]
    assert [(record.offset, (record.key, record.value)) for record in found] == expected
    assert {record.timestamp for record in found} == {7}


def test_a_block_is_closed_when_it_is_large_or_long() -> None:
    large: list[Pair] = [(b"k", bytes(BLOCK_BYTES // 2))] * 5
    assert [b.records for b in pack(large, begin=0, timestamp=0, alone=False)] == [2, 2, 1]
    many: list[Pair] = [(b"k", b"")] * (BLOCK_RECORDS_MAX + 1)
    sizes = [block.records for block in pack(many, begin=0, timestamp=0, alone=False)]
    assert sizes == [BLOCK_RECORDS_MAX, 1]


def test_a_compacted_topic_has_each_record_alone() -> None:
    blocks = list(pack([(b"a", b"1"), (b"b", None)], begin=5, timestamp=0, alone=True))
    assert [(block.first, block.last) for block in blocks] == [(5, 5), (6, 6)]


@given(st.integers(0, 1000), offsets)
def test_rows_stand_by_partition_then_offset(partition: int, offset: int) -> None:
    row = row_id(partition, offset)
    assert offset_of(row) == offset
    assert row_id(partition, offset + 1) > row
    assert row_id(partition + 1, 0) > row


@pytest.mark.parametrize("payload", [b"", b"\x91", b"\x91\x92\xc0\x01", b"\x90"])
def test_damage_is_an_error_and_no_record(payload: bytes) -> None:
    with pytest.raises(BusError, match="records 4 to 4 are damaged"):
        unpack(Block(last=4, records=1, timestamp=0, payload=payload), offset=4, records_max=1)
