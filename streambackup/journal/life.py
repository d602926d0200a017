"""Lives: the generations a store has journalled, in the order in which readers fold them."""

from __future__ import annotations

from pathlib import Path

import msgspec

from streambackup.errors import StoreError, newer_release
from streambackup.events.config import Generation
from streambackup.runtime.disk import Disk

LIFE_FILE = "generation.json"

FORMAT = 1


class _Numbered(msgspec.Struct, frozen=True):
    """What every format says."""

    format: int = FORMAT


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """One generation as this store knows it. ``partitions`` is the count that keys are
    placed by.

    A ``derived`` one got its id from this store, because its topic named none or one that is taken:
    its records may be stamped with any other.
    """

    generation: str
    number: int
    predecessor: str | None
    partitions: int
    blob_partitions: int
    transactions_topic: str
    blobs_topic: str
    derived: bool = False
    format: int = FORMAT


def life_of(generation: Generation) -> Life:
    """The generation as a store's journal notes it: in topics of its own, which nothing was in
    before.
    """
    return Life(
        generation=generation.generation,
        number=generation.number,
        predecessor=None,
        partitions=generation.partitions,
        blob_partitions=generation.blob_partitions,
        transactions_topic=generation.transactions_topic,
        blobs_topic=generation.blobs_topic,
    )


def encode_life(life: Life) -> bytes:
    """What a generation's file holds."""
    return msgspec.json.format(msgspec.json.encode(life)) + b"\n"


def write_life(root: Path, life: Life, disk: Disk) -> Life:
    """Note a generation before anything of it is journalled; repeating it changes nothing.

    Returns it as noted. Readers fold lives by their numbers, so it gets one above all that are
    known: topics that were deleted and made anew count from 1 again.

    Raises:
        StoreError: as ``read_lives``, or the disk failed.
    """
    known = read_lives(root)
    directory = root / "journal" / life.generation
    disk.secure_directories(directory, root)
    for noted in known:
        if noted.generation == life.generation:
            return noted
    number = max([life.number, *(noted.number + 1 for noted in known)])
    life = msgspec.structs.replace(life, number=number)
    disk.replace(directory / LIFE_FILE, encode_life(life))
    return life


def read_lives(root: Path) -> list[Life]:
    """All generations of the store, oldest first.

    Raises:
        StoreError: one of the files that name them is damaged, or of a newer format.
    """
    top = root / "journal"
    lives = []
    for file in sorted(top.glob(f"*/{LIFE_FILE}")):
        try:
            data = file.read_bytes()
            if msgspec.json.decode(data, type=_Numbered).format > FORMAT:
                raise newer_release(str(file))
            lives.append(msgspec.json.decode(data, type=Life))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise StoreError(
                f"{file} is damaged: {error}",
                hint="Copy it from another copy of the store, or write it again by hand.",
            ) from error
    return sorted(lives, key=lambda life: (life.number, life.generation))


def lost_lives(root: Path) -> list[Path]:
    """The directories of generations of which something is journalled, and that lack the file that
    describes them.
    """
    return [
        directory
        for directory in sorted((root / "journal").glob("*/"))
        if not (directory / LIFE_FILE).exists() and any(directory.glob("*/*/*"))
    ]
