"""One mail: a pure function of its key, its size and the time it was sent.

The shapes are those of real mailboxes: plain text, text beside HTML, attachments that do not
compress (noise) and that do (text), a forwarded mail inside another; bodies and headers in several
charsets and transfer encodings; lines that end in LF, as Maildirs hold them, or in CRLF.
"""

from __future__ import annotations

import binascii
import hashlib
from base64 import b64encode
from collections.abc import Callable
from email.utils import formatdate
from random import Random
from urllib.parse import quote

from tests.corpus.words import FOREIGN, phrase, prose

_HOSTS = ("mail.example.org", "mx.example.com", "lists.example.net", "relay.example.edu")
_MAILBOXES = ("office", "accounts", "support", "library", "workshop", "planning", "newsletter")
_CHARSETS = ("us-ascii",) * 5 + ("utf-8",) * 4 + tuple(sorted(FOREIGN))
_NOISE_FILES = (
    ("image/jpeg", "jpg"),
    ("image/png", "png"),
    ("application/pdf", "pdf"),
    ("application/zip", "zip"),
    ("video/mp4", "mp4"),
)
_TEXT_FILES = (("text/csv", "csv"), ("text/x-log", "log"), ("application/json", "json"))
_CRLF_SHARE = 0.2
_PART_OVERHEAD = 330
_BASE64_LINE = 76


def message(key: str, size: int, sent_s: int) -> bytes:
    """A mail of about *size* bytes, never below its headers, that no other *key* gives."""
    random = Random(key)
    crlf = random.random() < _CRLF_SHARE
    if crlf:
        size = size * 60 // 61
    head = _envelope(random, key, sent_s)
    content = head + _body_shape(random, size)(random, max(size - len(head), 160), sent_s)
    return content.replace(b"\n", b"\r\n") if crlf else content


def _body_shape(random: Random, size: int) -> Callable[[Random, int, int], bytes]:
    """What kind of mail has this size: short ones are text, long ones carry something."""
    if size < 5_000:
        return random.choices((_plain, _alternative), (75, 25))[0]
    if size < 40_000:
        return random.choices((_plain, _alternative, _mixed, _forward), (20, 45, 27, 8))[0]
    return random.choices((_mixed, _forward), (92, 8))[0]


def _envelope(random: Random, key: str, sent_s: int) -> bytes:
    name = hashlib.sha256(key.encode()).hexdigest()[:24]
    host = random.choice(_HOSTS)
    sender = _address(random, host)
    lines = [f"Return-Path: <{sender[1]}>"]
    for hop in range(random.randint(1, 3)):
        lines.append(
            f"Received: from {random.choice(_HOSTS)} ([192.0.2.{random.randrange(1, 255)}])\n"
            f"\tby {random.choice(_HOSTS)} with ESMTPS id {random.getrandbits(48):012x};\n"
            f"\t{formatdate(sent_s + 3 - hop)}"
        )
    if random.random() < 0.5:
        lines.append(_signature(random, host))
    lines += [
        f"Date: {formatdate(sent_s)}",
        f"From: {sender[0]} <{sender[1]}>",
        "To: " + ",\n ".join(_recipients(random)),
        f"Subject: {_subject(random)}",
        f"Message-ID: <{name}@{host}>",
    ]
    if random.random() < 0.4:
        parents = [f"<{random.getrandbits(80):020x}@{host}>" for _ in range(random.randint(1, 4))]
        lines += [f"In-Reply-To: {parents[-1]}", "References: " + "\n ".join(parents)]
    if random.random() < 0.2:
        lines.append(f"List-Id: <{random.choice(_MAILBOXES)}.{host}>")
    lines.append("MIME-Version: 1.0\n")
    return "\n".join(lines).encode("ascii")


def _address(random: Random, host: str) -> tuple[str, str]:
    name = phrase(random, 2, random.choice(_CHARSETS))
    return encoded_word(random, name), f"{random.choice(_MAILBOXES)}{random.randrange(900)}@{host}"


def _recipients(random: Random) -> list[str]:
    people = (_address(random, random.choice(_HOSTS)) for _ in range(random.randint(1, 5)))
    return [f"{name} <{address}>" for name, address in people]


def _subject(random: Random) -> str:
    prefix = random.choice(("", "", "Re: ", "Fwd: "))
    return prefix + encoded_word(
        random, phrase(random, random.randint(2, 7), random.choice(_CHARSETS))
    )


def _signature(random: Random, host: str) -> str:
    value = b64encode(random.randbytes(192)).decode()
    folded = "\n\t ".join(value[at : at + 70] for at in range(0, len(value), 70))
    return f"DKIM-Signature: v=1; a=rsa-sha256; d={host}; s=k1;\n\tb={folded}"


def encoded_word(random: Random, text: str) -> str:
    """*text* as a header may hold it: itself when ASCII, else RFC 2047 in a charset that fits."""
    if text.isascii():
        return text
    fitting = [name for name in sorted(FOREIGN) if _fits(text, name)]
    charset = random.choice(fitting)
    raw = text.encode(charset)
    if charset == "iso-8859-1":
        body = "".join(chr(b) if chr(b).isalnum() and b < 128 else f"={b:02X}" for b in raw)
        return f"=?{charset}?Q?{body}?="
    words = (f"=?{charset}?B?{b64encode(piece).decode()}?=" for piece in _pieces(text, charset))
    return "\n ".join(words)


def _fits(text: str, charset: str) -> bool:
    try:
        text.encode(charset)
    except UnicodeEncodeError:
        return False
    return True


def _pieces(text: str, charset: str) -> list[bytes]:
    """Whole characters at a time: an encoded word holds at most 75 characters."""
    return [text[at : at + 9].encode(charset) for at in range(0, len(text), 9)]


def _plain(random: Random, size: int, sent_s: int = 0) -> bytes:
    return _text_part(random, "plain", prose, size)


def _text_part(
    random: Random, subtype: str, write: Callable[[Random, int, str], str], size: int
) -> bytes:
    """A text body in some charset and the transfer encoding that usually goes with it."""
    charset = random.choice(_CHARSETS)
    encoding = {
        "us-ascii": "7bit",
        "iso-2022-jp": "7bit",
        "koi8-r": "base64",
        "utf-8": random.choice(("8bit", "quoted-printable", "base64")),
    }.get(charset, "quoted-printable")
    head = f"Content-Type: text/{subtype}; charset={charset}\n"
    head += f"Content-Transfer-Encoding: {encoding}\n\n"
    room = max(size - len(head), 40)
    if encoding == "base64":
        return head.encode() + _base64(write(random, room * 57 // 77, charset).encode(charset))
    if encoding == "quoted-printable":
        raw = write(random, room * 96 // 100, charset).encode(charset)
        return head.encode() + binascii.b2a_qp(raw, istext=True)
    return head.encode() + write(random, room, charset).encode(charset)


def _html(random: Random, size: int, charset: str) -> str:
    frame = (
        f'<!DOCTYPE html>\n<html>\n<head>\n<meta http-equiv="Content-Type" '
        f'content="text/html; charset={charset}">\n</head>\n<body>\n'
    )
    opening = '<p style="margin:0 0 12px 0;font-family:Arial,sans-serif;font-size:14px">\n'
    text = prose(random, max(size * 4 // 5 - len(frame), 20), charset)
    return (
        f"{frame}{opening}"
        + text.replace("\n\n", f"\n</p>\n{opening}")
        + "</p>\n</body>\n</html>\n"
    )


def _alternative(random: Random, size: int, sent_s: int = 0) -> bytes:
    plain = _text_part(random, "plain", prose, size * 3 // 10)
    html = _text_part(random, "html", _html, size - len(plain) - _PART_OVERHEAD)
    return _multipart(random, "alternative", [plain, html])


def _mixed(random: Random, size: int, sent_s: int = 0) -> bytes:
    """Some text, then one attachment or a few that share the rest of the size."""
    write = random.choice((_plain, _alternative))
    first = write(random, min(size // 5, random.randint(600, 6_000)))
    count = 1 if size < 100_000 else random.randint(1, 3)
    room = (size - len(first) - _PART_OVERHEAD // 2) // count - _PART_OVERHEAD
    files = [_attachment(random, max(room, 100)) for _ in range(count)]
    return _multipart(random, "mixed", [first, *files])


def _forward(random: Random, size: int, sent_s: int) -> bytes:
    """A mail inside a mail, a day younger outside."""
    note = _plain(random, min(size // 10, 800))
    room = size - len(note) - _PART_OVERHEAD
    inner_sent_s = sent_s - 86_400
    head = _envelope(random, f"{random.getrandbits(64):x}", inner_sent_s)
    inner = head + _body_shape(random, room)(random, max(room - len(head), 160), inner_sent_s)
    wrapped = b"Content-Type: message/rfc822\nContent-Disposition: attachment\n\n" + inner
    return _multipart(random, "mixed", [note, wrapped])


def _attachment(random: Random, size: int) -> bytes:
    """A file in base64: most are noise (compressed already), the others text."""
    raw_size = size * 57 // 77
    if random.random() < 0.85:
        kind, ending = random.choice(_NOISE_FILES)
        content = hashlib.shake_128(random.randbytes(16)).digest(raw_size)
    else:
        kind, ending = random.choice(_TEXT_FILES)
        content = prose(random, raw_size, "us-ascii").encode("ascii")
    name = f"{phrase(random, 2, random.choice(_CHARSETS))}.{ending}"
    label = f'filename="{name}"' if name.isascii() else f"filename*=utf-8''{quote(name)}"
    head = (
        f"Content-Type: {kind}\nContent-Transfer-Encoding: base64\n"
        f"Content-Disposition: attachment;\n {label}\n\n"
    )
    return head.encode("ascii") + _base64(content)


def _multipart(random: Random, subtype: str, parts: list[bytes]) -> bytes:
    boundary = f"=_{random.getrandbits(96):024x}"
    pieces = [f'Content-Type: multipart/{subtype}; boundary="{boundary}"\n\n'.encode()]
    for part in parts:
        pieces += (f"--{boundary}\n".encode(), part, b"\n")
    pieces.append(f"--{boundary}--\n".encode())
    return b"".join(pieces)


def _base64(content: bytes) -> bytes:
    flat = binascii.b2a_base64(content, newline=False)
    lines = [flat[at : at + _BASE64_LINE] for at in range(0, len(flat), _BASE64_LINE)]
    return b"\n".join(lines) + b"\n"
