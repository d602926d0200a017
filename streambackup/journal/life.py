"""Lives: the generations a store has journalled, in the order in which readers fold them."""

from __future__ import annotations

from pathlib import Path

import msgspec

from streambackup.errors import StoreError, newer_release
from streambackup.runtime.disk import Disk

LIFE_FILE = "generation.json"


FORMAT = 1


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """One generation as this store knows it. ``partitions`` is the count that keys are
    placed by.
    """

    generation: str
    number: int
    predecessor: str | None
    partitions: int
    blob_partitions: int
    transactions_topic: str
    blobs_topic: str
    format: int = FORMAT


def encode_life(life: Life) -> bytes:
    """What a generation's file holds."""
    return msgspec.json.format(msgspec.json.encode(life)) + b"\n"


def write_life(root: Path, life: Life, disk: Disk) -> None:
    """Note a generation before anything of it is journalled; repeating it changes nothing."""
    directory = root / "journal" / life.generation
    disk.secure_directories(directory, root)
    if not (directory / LIFE_FILE).exists():
        disk.replace(directory / LIFE_FILE, encode_life(life))


def read_lives(root: Path) -> list[Life]:
    """All generations of the store, oldest first.

    Raises:
        StoreError: one of the files that name them is damaged, or of a newer format.
    """
    top = root / "journal"
    lives = []
    for file in sorted(top.glob(f"*/{LIFE_FILE}")):
        try:
            life = msgspec.json.decode(file.read_bytes(), type=Life)
        except msgspec.MsgspecError as error:
            raise StoreError(
                f"{file} is damaged: {error}",
                hint="Copy it from another copy of the store, or write it again by hand.",
            ) from error
        if life.format > FORMAT:
            raise newer_release(str(file))
        lives.append(life)
    return sorted(lives, key=lambda life: (life.number, life.generation))
