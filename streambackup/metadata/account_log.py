"""Account logs: an account's lines in order, one JSON object each, filed from sealed journal
segments.

Each filer's epoch has a file of its own, which only grows; readers take the union. A line ends with
the CRC-32C of what stands before it (docs/format.md, "Account logs").
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar
from urllib.parse import quote, unquote

import msgspec

from streambackup.domain.crc import crc32c
from streambackup.domain.finding import Finding, FindingClass
from streambackup.domain.partition_event import PartitionEvent
from streambackup.errors import newer_release
from streambackup.journal.line import Line
from streambackup.journal.segment import EpochName

NAME_BYTES_MAX = 120
ACCOUNT_FILE = "account"
"""Holds the true id of an account whose directory is named by a hash."""
_HASHED = re.compile(r"^~[0-9a-f]{64}$")
_LOG = re.compile(r"^(\d{10})-([0-9a-f]{16})\.jsonl$")
_CHECK = re.compile(rb'^,"crc":"([0-9a-f]{8})"\}$')
_L = TypeVar("_L", Line, PartitionEvent)
_CHECK_BYTES = len(b',"crc":"00000000"}')

_encode = msgspec.json.Encoder().encode
_decode_line = msgspec.json.Decoder(Line).decode
_decode_event = msgspec.json.Decoder(PartitionEvent).decode


def path_name(id: str) -> str:
    """A file name for *id* that no id can escape with: percent-encoded,
    or its hash when that is too long.
    """
    name = quote(id, safe="@+-_=,")
    if name[0] in ".~":
        name = f"%{ord(name[0]):02X}{name[1:]}"
    if len(name) > NAME_BYTES_MAX:
        return "~" + hashlib.sha256(id.encode()).hexdigest()
    return name


def account_directory(root: Path, account: str) -> Path:
    """Where everything filed of *account* lives."""
    fan_out = hashlib.sha256(account.encode()).hexdigest()[:2]
    return root / "accounts" / fan_out / path_name(account)


def is_hashed(directory: Path) -> bool:
    """Whether an account's directory is named by a hash, so that its true id is inside."""
    return _HASHED.match(directory.name) is not None


def account_directories(root: Path) -> Iterator[Path]:
    """Every directory that is one of an account, or should be."""
    for fan_out in sorted((root / "accounts").glob("*/")):
        yield from sorted(fan_out.glob("*/"))


def account_of(root: Path, directory: Path) -> str | None:
    """Whose directory it is; None where nothing tells, or what tells has another directory.

    The id of one named by a hash is in a file of its own, and should that be lost, in every line.
    """
    found = (id for id in _names(directory) if account_directory(root, id) == directory)
    return next(found, None)


def written_id(directory: Path) -> str | None:
    """The id in the file of a directory named by a hash, if it is there and text."""
    try:
        return (directory / ACCOUNT_FILE).read_bytes().decode()
    except (FileNotFoundError, UnicodeDecodeError):
        return None


def _names(directory: Path) -> Iterator[str]:
    if not is_hashed(directory):
        if directory.name.isascii():
            yield unquote(directory.name)
        return
    if written := written_id(directory):
        yield written
    for _, file in log_files(directory):
        for line in decode_lines(file.read_bytes()):
            if isinstance(line, Line):
                yield line.account
                break


def list_accounts(root: Path) -> Iterator[tuple[str, Path]]:
    """Every account with a directory, and that directory."""
    for directory in account_directories(root):
        account = account_of(root, directory)
        if account is not None:
            yield account, directory


def log_files(directory: Path) -> list[tuple[EpochName, Path]]:
    """The account log files in *directory*, oldest epoch first."""
    try:
        paths = sorted(directory.iterdir())
    except FileNotFoundError:
        return []
    return [
        (EpochName(int(found[1]), found[2]), path)
        for path in paths
        if (found := _LOG.match(path.name)) is not None
    ]


def encode_line(line: Line | PartitionEvent) -> bytes:
    """One checked line, with its newline."""
    body = _encode(line)
    return body[:-1] + b',"crc":"%08x"}\n' % crc32c(body)


class Unreadable(NamedTuple):
    """A line that failed its check; ``last`` when no newline ended it and nothing follows."""

    number: int
    last: bool


def decode_lines(data: bytes) -> Iterator[Line | Unreadable]:
    """The lines of an account log file.

    Raises:
        StoreError: a line that passes its check was written by a newer release.
    """
    return _decoded(data, _decode_line)


def decode_events(data: bytes) -> Iterator[PartitionEvent | Unreadable]:
    """The lines of a partition log file. Raises as ``decode_lines``."""
    return _decoded(data, _decode_event)


def _decoded(data: bytes, decode: Callable[[bytes], _L]) -> Iterator[_L | Unreadable]:
    for body in _checked(data):
        try:
            yield body if isinstance(body, Unreadable) else decode(body)
        except msgspec.ValidationError as error:
            raise newer_release(f"a line ({error})") from error


def _checked(data: bytes) -> Iterator[bytes | Unreadable]:
    rows = data.split(b"\n")
    for number, row in enumerate(rows, 1):
        if not row:
            continue
        check = _CHECK.match(row[-_CHECK_BYTES:])
        body = row[:-_CHECK_BYTES] + b"}"
        if check is None or int(check[1], 16) != crc32c(body):
            yield Unreadable(number, last=number == len(rows))
        else:
            yield body


def note_unreadable(unreadable: Unreadable, path: Path) -> Finding:
    """What a check says of a line that failed."""
    what = f"line {unreadable.number} fails its check"
    return Finding(
        finding=FindingClass.TORN_TAIL if unreadable.last else FindingClass.DAMAGED_LINE,
        what=f"{what}: the end of a filing that did not finish" if unreadable.last else what,
        path=str(path),
    )
