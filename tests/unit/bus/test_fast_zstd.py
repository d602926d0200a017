"""Batches of any producer come out of the faster decoder as they do of aiokafka's own."""

from __future__ import annotations

import cramjam
import pytest
import zstandard
from aiokafka.record._crecords import default_records
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from streambackup.bus.kafka.fast_zstd import FRAME_BYTES_MAX, decode, read_zstd_faster

CONTENT = b"At one?\r\n" * 10_000


def streamed(content: bytes) -> bytes:
    """A frame that does not say how much comes out, as Java's producers make them."""
    compressor = zstandard.ZstdCompressor().compressobj()
    return compressor.compress(content) + compressor.flush()


@pytest.mark.parametrize("content", [b"", b"x", CONTENT])
def test_frames_with_and_without_a_size_hold_the_same(content: bytes) -> None:
    assert decode(bytes(cramjam.zstd.compress(content))) == content
    assert decode(zstandard.compress(content)) == content
    assert decode(streamed(content)) == content


def test_of_several_frames_none_is_lost() -> None:
    assert decode(zstandard.compress(CONTENT) + zstandard.compress(b"more")) == CONTENT + b"more"


@pytest.mark.parametrize("damaged", [zstandard.compress(CONTENT)[:-1], b"no frame", b""])
def test_damage_is_for_the_other_decoder_to_judge(damaged: bytes) -> None:
    with pytest.raises(cramjam.DecompressionError):
        decode(damaged or b"\x00")


def test_memory_is_not_given_to_a_frame_because_it_asks_for_it() -> None:
    """It claims 2**40 bytes and holds three."""
    claims = b"\x28\xb5\x2f\xfd\xe0" + (2**40).to_bytes(8, "little") + b"\x19\x00\x00abc"
    assert zstandard.frame_content_size(claims) > FRAME_BYTES_MAX

    with pytest.raises(cramjam.DecompressionError):
        decode(claims)


def test_a_batch_of_aiokafka_is_read_by_it() -> None:
    read_zstd_faster()
    builder = DefaultRecordBatchBuilder(2, 4, 0, -1, -1, -1, 1 << 20)
    for offset in range(3):
        builder.append(offset, 1, b"key", CONTENT, [])

    batch = DefaultRecordBatch(bytes(builder.build()))

    assert vars(default_records)["zstd_decode"] is decode
    assert [record.value for record in batch] == [CONTENT] * 3
