"""Account logs: an account's lines in order, one JSON object each, filed from sealed journal
segments.

Each filer's epoch has a file of its own, which only grows; those of earlier epochs are merged into
one that never changes. Readers take the union. A line ends with the CRC-32C of what stands before
it (docs/format.md, "Account log").
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
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
_LOG = re.compile(r"^(\d{10})-([0-9a-f]{16})(?:\.([0-9a-f]{16}))?\.jsonl$")
_CHECK = re.compile(rb'^,"crc":"([0-9a-f]{8})"\}$')
_L = TypeVar("_L", Line, PartitionEvent)
_T = TypeVar("_T")
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
    yield from with_logs(directory, _accounts_named)


def _accounts_named(logs: Sequence[Path]) -> list[str]:
    """Whose the first line of each log is."""
    lines = (decode_lines(log.read_bytes()) for log in logs)
    firsts = (next((line for line in one if isinstance(line, Line)), None) for one in lines)
    return [line.account for line in firsts if line is not None]


def list_accounts(root: Path) -> Iterator[tuple[str, Path]]:
    """Every account with a directory, and that directory."""
    for directory in account_directories(root):
        account = account_of(root, directory)
        if account is not None:
            yield account, directory


def log_files(directory: Path) -> list[tuple[EpochName, Path]]:
    """The account log files in *directory*, and who filed or merged each, oldest epoch first."""
    try:
        paths = sorted(directory.iterdir())
    except FileNotFoundError:
        return []
    return [
        (EpochName(int(found[1]), found[2]), path)
        for path in paths
        if (found := _LOG.match(path.name)) is not None
    ]


def with_logs(directory: Path, read: Callable[[Sequence[Path]], _T]) -> _T:
    """What *read* makes of the account log files in *directory*.

    Where one of them was merged into another meanwhile, *read* is called again, with those that are
    there then: reading some before and some after it would miss lines.
    """
    while True:
        logs = log_files(directory)
        try:
            found = read([file for _, file in logs])
        except FileNotFoundError:
            if log_files(directory) == logs:
                raise
        else:
            if log_files(directory) == logs:
                return found


def merged_name(epoch: EpochName, sha256: str) -> str:
    """What a log is called that *epoch* merged from others and whose content has that hash: no two
    that differ have one name, so whoever unlinks one unlinks what it has read.
    """
    return f"{epoch}.{sha256[:16]}.jsonl"


def unfinished_name(epoch: EpochName) -> str:
    """What a log is called that *epoch* is merging from others."""
    return f".{epoch}.jsonl.tmp"


def is_merged(log: Path) -> bool:
    """Whether a log was merged from others, so that it never changes."""
    found = _LOG.match(log.name)
    return found is not None and found[3] is not None


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
        body = checked_body(row)
        yield Unreadable(number, last=number == len(rows)) if body is None else body


def checked_body(row: bytes) -> bytes | None:
    """The JSON of a line without its newline, as it was before its check was added; None where it
    fails that.
    """
    check = _CHECK.match(row[-_CHECK_BYTES:])
    body = row[:-_CHECK_BYTES] + b"}"
    return None if check is None or int(check[1], 16) != crc32c(body) else body


def note_unreadable(unreadable: Unreadable, path: Path) -> Finding:
    """What a check says of a line that failed."""
    what = f"line {unreadable.number} fails its check"
    return Finding(
        finding=FindingClass.TORN_TAIL if unreadable.last else FindingClass.DAMAGED_LINE,
        what=f"{what}: the end of a filing that did not finish" if unreadable.last else what,
        path=str(path),
    )
