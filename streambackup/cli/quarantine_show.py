"""``streambackup quarantine show``"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from streambackup.cli.asking import asking
from streambackup.cli.common import NOTHING_SAID, Common
from streambackup.cli.render import write_document
from streambackup.errors import UsageError
from streambackup.reading.set_aside import SetAside
from streambackup.runtime.audit import Concerned
from streambackup.service.quarantine import Aside, find_file, find_record, told

PIECE_BYTES = 1024 * 1024


class ShownRecord(msgspec.Struct, frozen=True):
    """``key`` and ``value`` are base64; null where the record has none."""

    record: Aside
    key: bytes | None
    value: bytes | None


def quarantine_show(
    origin: Annotated[str, Parameter(help="As 'quarantine list' names it.")],
    /,
    *,
    raw: Annotated[
        bool, Parameter(help="Write the bytes to standard output, and nothing else.")
    ] = False,
    common: Common = NOTHING_SAID,
) -> None:
    """Show what was set aside with its bytes, written out so that no terminal obeys them."""
    if raw and common.json:
        raise UsageError("--raw and --json exclude each other", hint="Give one of the two.")
    given = {"origin": origin, **({"raw": True} if raw else {})}
    with asking(common, "quarantine show", given, Concerned()) as reader:
        file = find_file(reader.root, origin)
        if file is not None:
            _show_file(*file, raw=raw, as_json=common.json)
            return
        record = find_record(reader.root, origin)
        if raw:
            _write([record.value or b""])
        else:
            shown = ShownRecord(told(record), record.key, record.value)
            write_document(shown, _lines(record), as_json=common.json)


def _show_file(file: Aside, path: Path, *, raw: bool, as_json: bool) -> None:
    if raw:
        with path.open("rb") as held:
            _write(iter(lambda: held.read(PIECE_BYTES), b""))
    else:
        write_document(file, [*_told(file), f"path       {path}"], as_json=as_json)


def _told(aside: Aside) -> Iterator[str]:
    yield f"origin     {aside.id}"
    yield f"when       {aside.when}"
    yield f"reason     {aside.reason}"
    yield f"size       {aside.size}"


def _lines(record: SetAside) -> Iterator[str]:
    yield from _told(told(record))
    yield f"key        {_text(record.key)}"
    yield f"value      {_text(record.value)}"


def _text(data: bytes | None) -> str:
    return "none" if data is None else data.decode("utf-8", "backslashreplace")


def _write(pieces: Iterable[bytes]) -> None:
    sys.stdout.flush()
    for piece in pieces:
        sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()
