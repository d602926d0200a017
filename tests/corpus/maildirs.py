"""A corpus of Maildir++ trees: planned as a value, then written by the Maildir protocol.

The plan is a pure function of shape and seed. Sizes are the quantiles of a log-normal law, dealt
out at random, so that median, mean and total hardly depend on the seed. A copy is the same mail
planned for one more account, hence equal byte for byte.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from random import Random
from statistics import NormalDist, median

from tests.corpus.messages import message

FOLDERS = ("Sent", "Archive", "Trash", "Drafts", "Archive.2023", "Entw&APw-rfe", "Junk", "Lists")
"""Folders beside INBOX, as Maildir++ spells them (modified UTF-7, a dot between levels)."""

INBOX = "INBOX"
_INBOX_SHARE = 0.5
_NEW_SHARE = 0.1
_FLAGS = ("S", "S", "S", "S", "RS", "FS", "", "ST", "PS", "DS", "FRS")
_COPIES_OF_ONE_MAX = 3
_MAIL_SIZE_MAX = 32_000_000
_FIRST_ARRIVAL_S = 1_672_531_200
_ARRIVALS_SPAN_S = 2 * 365 * 86_400


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How a corpus looks. The default is the one that the benches use.

    ``mails`` counts copies too; ``median_bytes`` and ``mean_bytes`` are those of the mails without
    their copies; each account has INBOX and up to ``folders`` more.
    """

    accounts: int = 200
    mails: int = 20_000
    copies: int = 6_009
    folders: int = 4
    median_bytes: int = 12_000
    mean_bytes: int = 69_000

    def __post_init__(self) -> None:
        if self.accounts < 1 or not 0 <= self.folders <= len(FOLDERS):
            raise ValueError(f"A corpus has 1 account or more, each 0 to {len(FOLDERS)} folders.")
        if (
            not 0
            <= self.copies
            <= (self.mails - self.copies) * min(self.accounts - 1, _COPIES_OF_ONE_MAX)
        ):
            raise ValueError(f"{self.copies} copies among {self.mails} mails cannot be had.")
        if not 0 < self.median_bytes <= self.mean_bytes:
            raise ValueError("The median size is above 0 and not above the mean.")


BENCH = Shape()
SMALL = Shape(accounts=4, mails=200, copies=60)


@dataclass(frozen=True)
class Place:
    """Where a mail lies: ``flags`` is None in new/, a string in cur/."""

    account: int
    folder: str
    received_s: int
    flags: str | None


@dataclass(frozen=True)
class Mail:
    """A mail to be made, and every place it goes to: the first and those of its copies."""

    key: str
    size: int
    sent_s: int
    places: tuple[Place, ...]


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """What was written. Sizes in bytes; ``median_bytes`` and ``mean_bytes`` are over all mails."""

    accounts: int
    folders: int
    mails: int
    bytes: int
    unique_bytes: int
    duplicates: int
    median_bytes: int
    mean_bytes: int

    def as_dict(self) -> dict[str, int]:
        return asdict(self)


def account_name(number: int) -> str:
    """The directory of an account below the root."""
    return f"user{number:04d}"


def plan_folders(shape: Shape, seed: int) -> list[tuple[str, ...]]:
    """The folders of each account, INBOX first."""
    random = Random(f"folders/{seed}")
    return [
        (INBOX, *random.sample(FOLDERS, random.randint(min(1, shape.folders), shape.folders)))
        for _ in range(shape.accounts)
    ]


def plan_mails(shape: Shape, seed: int) -> Iterator[Mail]:
    """Every mail with its size and its places, a pure function of shape and seed."""
    random = Random(f"mails/{seed}")
    folders = plan_folders(shape, seed)
    ranks = list(range(shape.mails - shape.copies))
    sizes = _sizes(shape, len(ranks))
    copies = _copies_by_rank(shape, len(ranks))
    random.shuffle(ranks)
    for number, rank in enumerate(ranks):
        sent_s = _FIRST_ARRIVAL_S + random.randrange(_ARRIVALS_SPAN_S)
        owners = random.sample(range(shape.accounts), 1 + copies.get(rank, 0))
        places = tuple(_place(random, owner, folders[owner], sent_s) for owner in owners)
        yield Mail(f"{seed}/{number}", sizes[rank], sent_s, places)


def _sizes(shape: Shape, mails: int) -> list[int]:
    """The quantiles of the log-normal law with the shape's median and mean, the smallest first."""
    sigma = math.sqrt(2 * math.log(shape.mean_bytes / shape.median_bytes))
    normal = NormalDist(math.log(shape.median_bytes), sigma) if sigma else None
    return [
        min(
            int(math.exp(normal.inv_cdf((rank + 0.5) / mails))) if normal else shape.median_bytes,
            _MAIL_SIZE_MAX,
        )
        for rank in range(mails)
    ]


def _copies_by_rank(shape: Shape, mails: int) -> dict[int, int]:
    """How many copies the mail of each size rank has: one in each group of neighbours is copied."""
    each = min(_COPIES_OF_ONE_MAX, shape.accounts - 1)
    copied = math.ceil(shape.copies / each) if shape.copies else 0
    chosen = [(8 * place + 7) * mails // (8 * copied) for place in range(copied)]
    left = shape.copies
    copies = {}
    for rank in chosen:
        copies[rank] = min(each, left)
        left -= copies[rank]
    return copies


def _place(random: Random, account: int, folders: tuple[str, ...], sent_s: int) -> Place:
    at_inbox = len(folders) == 1 or random.random() < _INBOX_SHARE
    folder = INBOX if at_inbox else random.choice(folders[1:])
    flags = None if random.random() < _NEW_SHARE else random.choice(_FLAGS)
    return Place(account, folder, sent_s + random.randint(1, 600), flags)


def write_maildirs(root: Path, shape: Shape = BENCH, seed: int = 1) -> Statistics:
    """Write the corpus of *shape* and *seed* below *root*, one Maildir++ tree an account.

    The same arguments give the same names, bytes and modification times. Nothing is synced.

    Raises:
        FileExistsError: *root* holds something already.
    """
    root.mkdir(parents=True, exist_ok=True)
    if any(root.iterdir()):
        raise FileExistsError(
            f"{root} is not empty; a corpus is written into a directory of its own."
        )
    folders = plan_folders(shape, seed)
    for account, names in enumerate(folders):
        for name in names:
            make_folder(root / account_name(account), name)
    serials = count(1)
    sizes: list[int] = []
    unique_bytes = 0
    for mail in plan_mails(shape, seed):
        content = message(mail.key, mail.size, mail.sent_s)
        unique_bytes += len(content)
        for place in mail.places:
            _deliver(root, place, next(serials), content)
            sizes.append(len(content))
    return Statistics(
        accounts=shape.accounts,
        folders=sum(map(len, folders)),
        mails=len(sizes),
        bytes=sum(sizes),
        unique_bytes=unique_bytes,
        duplicates=shape.copies,
        median_bytes=int(median(sizes)) if sizes else 0,
        mean_bytes=sum(sizes) // len(sizes) if sizes else 0,
    )


def folder_path(maildir: Path, folder: str) -> Path:
    """Where a Maildir++ tree keeps *folder*."""
    return maildir if folder == INBOX else maildir / f".{folder}"


def make_folder(maildir: Path, folder: str) -> None:
    """Create *folder* (and the tree's root) as Maildir++ wants it; no error when it is there."""
    path = folder_path(maildir, folder)
    for directory in (maildir, path, *(path / part for part in ("tmp", "new", "cur"))):
        directory.mkdir(mode=0o700, exist_ok=True)
    if folder != INBOX:
        (path / "maildirfolder").touch(mode=0o600)


def _deliver(root: Path, place: Place, serial: int, content: bytes) -> None:
    """Whole in tmp/ first, then by rename where readers look."""
    path = str(folder_path(root / account_name(place.account), place.folder))
    microsecond = serial * 7919 % 1_000_000
    name = f"{place.received_s}.M{microsecond}P{1000 + place.account}Q{serial}.mail.example.org"
    name += f",S={len(content)}"
    temporary = f"{path}/tmp/{name}"
    with open(
        os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb", buffering=0
    ) as file:
        left = memoryview(content)
        while left:
            left = left[file.write(left) :]
    os.utime(temporary, (place.received_s, place.received_s))
    target = f"new/{name}" if place.flags is None else f"cur/{name}:2,{place.flags}"
    os.rename(temporary, f"{path}/{target}")
