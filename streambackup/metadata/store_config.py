"""``streambackup.json``: which store a backup path is, and what was fixed for its whole life."""

from __future__ import annotations

from pathlib import Path

import msgspec

from streambackup.domain.item import IGNORED_ATTRIBUTES_DEFAULT
from streambackup.errors import NoStoreError, StoreError

STORE_FILE = "streambackup.json"
FORMAT = 1


class _Needed(msgspec.Struct, frozen=True):
    """What every format says: its number, and from 2 on the first release that reads it."""

    format: int = FORMAT
    release: str | None = None


class StoreConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Written once by ``init``.

    ``moment_ms`` and ``ignored_attributes`` decide what histories look like.
    """

    store: str
    created_ms: int
    moment_ms: int = 100
    ignored_attributes: tuple[str, ...] = IGNORED_ATTRIBUTES_DEFAULT
    format: int = FORMAT


def encode_store_config(config: StoreConfig) -> bytes:
    return msgspec.json.format(msgspec.json.encode(config)) + b"\n"


def read_store_config(root: Path) -> StoreConfig:
    """The store that *root* is.

    Raises:
        NoStoreError: no store was made there. StoreError: the file is damaged or of a newer
        format.
    """
    file = root / STORE_FILE
    try:
        data = file.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NoStoreError(
            f"{root} is no backup path", hint="'streambackup init' makes one."
        ) from error
    except OSError as error:
        raise StoreError(
            f"{file}: {error.strerror}", hint="--path names another backup path."
        ) from error
    try:
        needed = msgspec.json.decode(data, type=_Needed)
        if needed.format > FORMAT:
            raise _newer_format(root, needed)
        return msgspec.json.decode(data, type=StoreConfig)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StoreError(
            f"{file} is damaged: {error}", hint="Copy it from the state directory or another copy."
        ) from error


def _newer_format(root: Path, needed: _Needed) -> StoreError:
    release = "a newer release of it" if needed.release is None else f"{needed.release} or newer"
    return StoreError(
        f"{root} has format {needed.format}, this release knows {FORMAT}",
        hint=f"Use streambackup in {release}.",
    )
