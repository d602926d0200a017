"""The few header fields that a message's state shows, read leniently: garbage is shown,
not refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from email.header import decode_header
from email.parser import BytesHeaderParser
from email.utils import getaddresses, mktime_tz, parsedate_tz
from typing import TypeVar

import msgspec

HEADER_BYTES_MAX = 256 * 1024
VALUE_LENGTH_MAX = 1_000
RECIPIENTS_MAX = 100
_PARSED_LENGTH_MAX = 32 * 1024
_TIME_MS_MAX = 2**53
_TO = ("to", "cc", "bcc")
_END = re.compile(rb"\r?\n\r?\n")
_FOLD = re.compile(r"\s*[\r\n]\s*")

A = TypeVar("A")
B = TypeVar("B")


class Header(msgspec.Struct, frozen=True, array_like=True):
    """As in ``MessageState``. Values are at most 1,000 characters long, recipients at most 100."""

    sent_ms: int | None = None
    sender: str | None = None
    recipients: list[str] = []
    subject: str | None = None
    message_id: str | None = None


def parse_header(data: bytes) -> Header:
    """The header at the beginning of *data*, a message or the first ``HEADER_BYTES_MAX`` of it.

    Never fails: a field that cannot be understood is taken as text, or left out if it has to be a
    time.
    """
    end = _END.search(data, 0, HEADER_BYTES_MAX)
    head = data[: end.end() if end else HEADER_BYTES_MAX]
    fields: dict[str, list[str]] = {}
    for name, value in _leniently(_fields, head) or []:
        fields.setdefault(name, []).append(value[:_PARSED_LENGTH_MAX])
    first = {name: values[0] for name, values in fields.items()}
    senders = _people(first.get("from", ""))
    recipients = [
        person for name in _TO for value in fields.get(name, []) for person in _people(value)
    ]
    return Header(
        sent_ms=_leniently(_time_ms, first.get("date", "")),
        sender=senders[0] if senders else None,
        recipients=recipients[:RECIPIENTS_MAX],
        subject=_shown(first.get("subject")),
        message_id=_shown(first.get("message-id")),
    )


def _fields(head: bytes) -> list[tuple[str, str]]:
    message = BytesHeaderParser().parsebytes(head)
    return [(name.lower(), _text(value)) for name, value in message.raw_items()]


def _text(value: str) -> str:
    """A raw value as text: its 8-bit characters are UTF-8, or else taken as Latin-1."""
    data = str(value).encode("utf-8", "surrogateescape")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _shown(value: str | None) -> str | None:
    if value is None:
        return None
    line = _FOLD.sub(" ", value)  # a fold between encoded words would swallow the space
    text = _FOLD.sub(" ", _leniently(_decoded, line) or line).strip()
    return text.encode("utf-8", "replace").decode("utf-8")[:VALUE_LENGTH_MAX]


def _decoded(value: str) -> str:
    """*value* with its encoded words (RFC 2047) decoded."""
    if "=?" not in value:
        return value
    parts = decode_header(value)
    return "".join(p if isinstance(p, str) else _decoded_part(p, charset) for p, charset in parts)


def _decoded_part(part: bytes, charset: str | None) -> str:
    try:
        # The library writes text between encoded words this way where it is not ASCII.
        return part.decode(charset or ("ascii" if part.isascii() else "raw-unicode-escape"))
    except (LookupError, ValueError):
        return part.decode("latin-1")


def _people(value: str) -> list[str]:
    """``Name <address>`` or the address alone; the value as it is where no address is found."""
    pairs = _leniently(lambda text: getaddresses([text]), value) or []
    people = [f"{name} <{address}>" if name else address for name, address in pairs if address]
    return [text for person in people or [value] if (text := _shown(person))]


def _time_ms(value: str) -> int | None:
    parsed = parsedate_tz(value)
    time_ms = int(mktime_tz(parsed) * 1000) if parsed else -1
    return time_ms if 0 <= time_ms <= _TIME_MS_MAX else None


def _leniently(parse: Callable[[A], B], value: A) -> B | None:
    """None where *parse* fails: the library's parsers do, in many ways,
    on mail that nobody should have sent.
    """
    try:
        return parse(value)
    except Exception:
        return None
