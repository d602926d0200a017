"""The forms a stored blob can have; its first bytes tell which, so one store may mix them.

With gzip every blob is a gzip member, a stored one where it would not shrink, so that ``gunzip -c``
always works. With zstd it is always a frame. With none it is the raw bytes, except for content that
would be taken for one of the two: that becomes a stored gzip member.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import IO, Protocol, cast

import msgspec
import zstandard
from isal import isal_zlib
from isal.igzip_lib import IsalError

GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
GZIP_WINDOW = 31
FAST_LEVEL_MAX = 3
"""Levels up to here are made by ISA-L, several times faster than zlib at the same size."""
PIECE_BYTES = 1024 * 1024
_BAD_MEMBER = cast(type[Exception], IsalError)
"""The library's stub calls it an instance."""


class Compression(StrEnum):
    GZIP = "gzip"
    ZSTD = "zstd"
    NONE = "none"


class CompressionSettings(msgspec.Struct, frozen=True):
    """``level`` 1-9 for gzip (0 means none), 1-19 for zstd; none has no level."""

    kind: Compression = Compression.GZIP
    level: int = 1

    @property
    def plain(self) -> bool:
        return self.kind is Compression.NONE or (self.kind is Compression.GZIP and self.level == 0)


class Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


class _Plain:
    def compress(self, data: bytes, /) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""


def encode_blob(content: bytes, settings: CompressionSettings) -> bytes:
    """The stored form of *content*."""
    if settings.plain:
        return _stored(content) if _looks_packed(content) else content
    if settings.kind is Compression.ZSTD:
        return zstandard.ZstdCompressor(level=settings.level).compress(content)
    if settings.level <= FAST_LEVEL_MAX:
        packed: bytes = isal_zlib.compress(content, settings.level, GZIP_WINDOW)
    else:
        packed = zlib.compress(content, settings.level, GZIP_WINDOW)
    return packed if len(packed) < len(content) else _stored(content)


def compressor(beginning: bytes, settings: CompressionSettings) -> Compressor:
    """For content too big to hold: its form is decided by how its *beginning* does."""
    if settings.plain:
        return zlib.compressobj(0, wbits=GZIP_WINDOW) if _looks_packed(beginning) else _Plain()
    if settings.kind is Compression.ZSTD:
        return zstandard.ZstdCompressor(level=settings.level).compressobj()
    shrinks = len(isal_zlib.compress(beginning, 1, GZIP_WINDOW)) < len(beginning)
    if not shrinks:
        return zlib.compressobj(0, wbits=GZIP_WINDOW)
    if settings.level <= FAST_LEVEL_MAX:
        made: Compressor = isal_zlib.compressobj(settings.level, isal_zlib.DEFLATED, GZIP_WINDOW)
        return made
    return zlib.compressobj(settings.level, wbits=GZIP_WINDOW)


def _looks_packed(content: bytes) -> bool:
    return content.startswith((GZIP_MAGIC, ZSTD_MAGIC))


def _stored(content: bytes) -> bytes:
    return zlib.compress(content, 0, GZIP_WINDOW)


class NotInFormError(ValueError):
    """Stored bytes that are no complete blob of the form their beginning claims."""


def decode_blob(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The content behind stored *pieces*, at most PIECE_BYTES at a time, however much it grows.

    Raises:
        NotInFormError: damaged or incomplete.
    """
    stream = iter(pieces)
    first = next(stream, b"")
    if first.startswith(GZIP_MAGIC):
        yield from _gunzip(first, stream)
    elif first.startswith(ZSTD_MAGIC):
        yield from _unzstd(first, stream)
    else:
        yield first
        yield from stream


def _gunzip(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    member = isal_zlib.decompressobj(wbits=GZIP_WINDOW)
    piece = first
    try:
        while True:
            out = member.decompress(piece, PIECE_BYTES)
            if out:
                yield out
            piece = member.unconsumed_tail
            if member.eof:
                break
            if not piece and not out:
                piece = next(rest, b"")
                if not piece:
                    raise NotInFormError("the gzip member is not complete")
    except _BAD_MEMBER as error:
        raise NotInFormError(str(error)) from error
    if member.unused_data or next(rest, b""):
        raise NotInFormError("there are bytes behind the gzip member")


def _unzstd(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    source = _Pieces(first, rest)
    decompressor = zstandard.ZstdDecompressor()
    reader = decompressor.stream_reader(cast(IO[bytes], source), read_across_frames=False)
    try:
        while piece := reader.read(PIECE_BYTES):
            yield piece
    except zstandard.ZstdError as error:
        raise NotInFormError(str(error)) from error
    if reader.read(1) or source.read(1):
        raise NotInFormError("there are bytes behind the zstd frame")


class _Pieces:
    """Pieces as the file object that the zstd reader asks for."""

    def __init__(self, first: bytes, rest: Iterator[bytes]) -> None:
        self._held = first
        self._rest = rest

    def read(self, size: int = -1) -> bytes:
        if not self._held:
            self._held = next(self._rest, b"")
        take, self._held = self._held[:size], self._held[size:]
        return take
