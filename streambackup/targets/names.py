"""File names made of other people's text: safe everywhere, never empty, never leading elsewhere."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from pathlib import PurePosixPath

from streambackup.domain.entry import ItemType
from streambackup.domain.instant import format_instant
from streambackup.targets.port import RestoredItem

NAME_BYTES_MAX = 120
_LABEL_BYTES_MAX = 80
_EXTENSION_BYTES_MAX = 16
_KEY_DIGITS = 12
_UNSAFE = frozenset('/\\:*?"<>|%~')
_RESERVED = re.compile(r"^(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE | re.ASCII)
_LABEL_FIELDS = {
    ItemType.MESSAGE: "subject",
    ItemType.CONTACT: "name",
    ItemType.CONTACT_GROUP: "name",
    ItemType.APPOINTMENT: "summary",
    ItemType.TASK: "title",
    ItemType.DOCUMENT: "name",
}
_DATE_FIELDS = ("received_ms", "sent_ms", "start_ms", "due_ms")


def safe_name(text: str) -> str:
    """*text* as the name of one file or directory of at most 120 bytes: different texts have
    different names. What is not safe on every system is percent-encoded UTF-8; a longer name is cut
    and ends with a hash.
    """
    inner = "".join(char if _is_safe(char) else _percent(char) for char in text)
    if not inner:
        return "%"
    if inner[0] in ".- " or _RESERVED.match(inner):
        inner = _percent(inner[0]) + inner[1:]
    if inner[-1] in ". ":
        inner = inner[:-1] + _percent(inner[-1])
    if len(inner.encode()) <= NAME_BYTES_MAX:
        return inner
    ending = f"~{_hash(text, 16)}"
    return _cut(inner, NAME_BYTES_MAX - len(ending)) + ending


def twin_name(text: str) -> str:
    """The name for *text* where ``safe_name`` would differ from a neighbour's in case alone."""
    return f"{safe_name(text)}~{_hash(text, 8)}"


def same_on_some_system(name: str) -> str:
    """What two names share that some file systems take for one."""
    return unicodedata.normalize("NFC", name).casefold()


def item_name(item: RestoredItem, extension: str, number: int = 1) -> str:
    """A readable name for *item* (date and subject, or what its type has instead) that its key
    makes unique; *number* is for where that name has other content. A document keeps its own
    extension.
    """
    label = _label(item)
    if item.type is ItemType.DOCUMENT:
        stem, _, own = label.rpartition(".")
        if stem and 0 < len(own.encode()) < _EXTENSION_BYTES_MAX:
            label, extension = stem, f".{own}{extension}"
    unique = item.key[:_KEY_DIGITS] if number == 1 else f"{item.key[:_KEY_DIGITS]}-{number}"
    parts = (_date(item), _cut(label, _LABEL_BYTES_MAX).strip(" .-"), unique)
    return "_".join(filter(None, parts)) + extension


def _label(item: RestoredItem) -> str:
    field = _LABEL_FIELDS.get(item.type)
    text = (getattr(item.state, field) or "") if field else item.type
    return " ".join("".join(char if _is_safe(char) else " " for char in text).split())


def _date(item: RestoredItem) -> str:
    times = (getattr(item.state, field, None) for field in _DATE_FIELDS)
    time_ms = next((time for time in times if time is not None), -1)
    return format_instant(time_ms)[:10] if time_ms >= 0 else ""


def _is_safe(char: str) -> bool:
    return char.isprintable() and char not in _UNSAFE


def _percent(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode("utf-8", "surrogatepass"))


def _hash(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:digits]


def _cut(text: str, bytes_max: int) -> str:
    return text.encode()[:bytes_max].decode("utf-8", "ignore")


def stays_inside(name: str) -> bool:
    """Whether *name*, which anybody may have written into an id map, leads out of no root."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts
