"""Messages that break what programs expect of mail; a backup must hand each back as it was."""

from __future__ import annotations

import binascii
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_HEAD = (
    b"From: odd@example.org\nTo: office@example.org\nSubject: %b\n"
    b"Date: Mon, 01 Jan 2024 00:00:00 +0000\nMessage-ID: <%b@odd.example.org>\n"
)
_LARGE_BYTES = 200_000_000
_CHUNK_BYTES = 786_240
_CHUNK_NOISE_BYTES = _CHUNK_BYTES * 57 // 78


@dataclass(frozen=True)
class OddMessage:
    """A message with something odd about it. ``size`` is known before the content is made."""

    name: str
    size: int
    make: Callable[[], Iterator[bytes]]

    def chunks(self) -> Iterator[bytes]:
        """The content from its beginning, at most 1 MiB at a time; may be called again."""
        return self.make()

    def content(self) -> bytes:
        """The whole content, in memory."""
        return b"".join(self.chunks())


def odd_messages() -> list[OddMessage]:
    """The whole gallery. One, ``huge``, has 200 MB; its content is made as it is read."""
    small = [_whole(name, content) for name, content in _small().items()]
    return [*small, OddMessage("huge", _LARGE_BYTES, _huge)]


def _whole(name: str, content: bytes) -> OddMessage:
    return OddMessage(name, len(content), lambda: iter((content,) if content else ()))


def _head(name: str) -> bytes:
    return _HEAD % (name.encode(), name.encode())


def _small() -> dict[str, bytes]:
    return {**_odd_lines(), **_odd_headers(), **_odd_structure()}


def _odd_lines() -> dict[str, bytes]:
    return {
        "bare-lf": _head("bare-lf") + b"\nOne line\nand another\n",
        "crlf": (_head("crlf") + b"\nOne line\nand another\n").replace(b"\n", b"\r\n"),
        "mixed-line-ends": _head("mixed-line-ends").replace(b"\n", b"\r\n")
        + b"\r\nLF\nCRLF\r\nLF\n",
        "lone-cr": _head("lone-cr") + b"\nbefore\rafter\r\r\nlast\r",
        "no-final-newline": _head("no-final-newline") + b"\nthe end comes without a newline",
        "nul-bytes": _head("nul-bytes") + b"\nbefore\0after\n\0\0\0\n",
        "all-bytes": _head("all-bytes") + b"\n" + bytes(range(256)) * 4,
        "long-line": _head("long-line") + b"\n" + b"x" * 102_400 + b"\n",
        "dot-lines": _head("dot-lines") + b"\n.\n..\n.leading\n",
        "from-lines": _head("from-lines") + b"\nFrom here on\n>From there\nFrom \n",
        "only-newlines": b"\n" * 50,
        "empty": b"",
    }


def _odd_headers() -> dict[str, bytes]:
    name = "eight-bit-headers"
    eight_bit = _head(name).replace(b"Subject: ", "Subject: Grüße, ".encode("latin-1"))
    return {
        name: eight_bit + "X-Note: Привет\n\nbody\n".encode(),
        "no-headers": b"\nA body that no header stands above.\n",
        "no-colon": b"this is not a header at all\nneither is this\n\nbody\n",
        "headers-only": _head("headers-only"),
        "empty-header-values": b"From:\nTo:\nSubject:\nDate:\nMessage-ID:\n\nbody\n",
        "many-headers": _head("many-headers") + b"X-Filler: value\n" * 10_000 + b"\nbody\n",
        "long-header": _head("long-header") + b"X-Long: " + b"y" * 65_536 + b"\n\nbody\n",
        "deep-folding": _head("deep-folding") + b"X-Folded: a\n" + b"\tb\n" * 2_000 + b"\nbody\n",
        "twice-each": _head("first") + _head("second") + b"\nbody\n",
        "unreadable-date": _head("unreadable-date").replace(b"Mon, 01 Jan", b"Mond, 99 Foo")
        + b"\n",
        "broken-encoded-word": _head("=?utf-8?B?####?= =?nonesuch?Q?=ZZ?= =?utf-8?Q?=FF=FE?=")
        + b"\nbody\n",
        "mbox-from-line": b"From odd@example.org Mon Jan  1 00:00:00 2024\n"
        + _head("mbox-from-line")
        + b"\nbody\n",
        "byte-order-mark": b"\xef\xbb\xbf" + _head("byte-order-mark") + b"\nbody\n",
    }


def _odd_structure() -> dict[str, bytes]:
    mixed = b'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="b"\n\n'
    nested = b"".join(
        b'Content-Type: multipart/mixed; boundary="%d"\n\n--%d\n' % (level, level)
        for level in range(200)
    )
    return {
        "boundary-never-closed": _head("boundary-never-closed")
        + mixed
        + b"--b\nContent-Type: text/plain\n\nno closing line follows\n",
        "boundary-never-opened": _head("boundary-never-opened") + mixed + b"no part at all\n",
        "nested-200-deep": _head("nested-200-deep") + b"MIME-Version: 1.0\n" + nested + b"\nleaf\n",
        "unknown-charset": _head("unknown-charset")
        + b"MIME-Version: 1.0\nContent-Type: text/plain; charset=nonesuch\n\n\xe4\xf6\xfc\n",
        "broken-base64": _head("broken-base64")
        + b"MIME-Version: 1.0\nContent-Transfer-Encoding: base64\n\nQUJD!!!\n=\nQQ\n",
        "gzip-magic": b"\x1f\x8b\x08\0" + b"not gzip at all",
        "zstd-magic": b"\x28\xb5\x2f\xfd" + b"not zstd at all",
    }


def _huge() -> Iterator[bytes]:
    """A mail with one attachment that does not compress, 76 base64 characters to a CRLF line."""
    head = (
        _head("huge") + b"MIME-Version: 1.0\nContent-Type: application/octet-stream\n"
        b"Content-Transfer-Encoding: base64\n\n"
    ).replace(b"\n", b"\r\n")
    yield head
    left = _LARGE_BYTES - len(head)
    number = 0
    while left:
        noise = hashlib.shake_128(b"huge %d" % number).digest(_CHUNK_NOISE_BYTES)
        flat = binascii.b2a_base64(noise, newline=False)
        chunk = b"\r\n".join(flat[at : at + 76] for at in range(0, len(flat), 76)) + b"\r\n"
        yield chunk[:left]
        left -= len(chunk[:left])
        number += 1
