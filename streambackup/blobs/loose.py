"""Loose blobs: the default volume, one file per digest below ``items/``,
so that plain tools can save you.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from streambackup.blobs.compression import PIECE_BYTES, NotInFormError, decode_blob
from streambackup.domain.digest import digest_name, is_digest
from streambackup.errors import BlobDamagedError, BlobMissingError, StoreError
from streambackup.runtime.disk import AppendFile, Disk, storage_errors

INCOMING = "incoming"


class TakenAwayError(StoreError):
    """Files on their way are gone: a newer owner of their partition cleared them away."""


class LooseBlobs:
    """Files ``items/<first two characters>/<digest>``.

    A file that has its final name is complete.
    """

    def __init__(self, root: Path) -> None:
        self._items = root / "items"

    def path_of(self, digest: str) -> Path:
        """Where *digest* lives; only a digest can name a file here."""
        assert is_digest(digest)
        return self._items / digest[:2] / digest

    def digests(self) -> Iterator[str]:
        """Every blob there is, in order."""
        if not self._items.is_dir():
            return
        for directory in sorted(self._items.iterdir()):
            if directory.name != INCOMING and directory.is_dir():
                yield from sorted(f.name for f in directory.iterdir() if is_digest(f.name))

    def leftovers(self) -> list[Path]:
        """Files of stores that did not finish."""
        return sorted(path for path in self._items.glob(f"{INCOMING}/*/*") if path.is_file())

    def pieces(self, digest: str) -> Iterator[bytes]:
        """The content of *digest*, piece by piece, verified: the last piece comes only if all was
        right.

        Raises:
            BlobMissingError: not here. BlobDamagedError: what is here is not what the digest says.
        """
        if not is_digest(digest):
            raise BlobMissingError(f"{digest!r} is not a digest; nothing can be stored under it")
        path = self.path_of(digest)
        held, hashed = b"", hashlib.sha256()
        try:
            for piece in decode_blob(_read(path)):
                hashed.update(piece)
                if held:
                    yield held
                held = piece
        except FileNotFoundError as error:
            raise BlobMissingError(
                f"the content {digest} is not in the store",
                hint="'streambackup check' lists what is missing.",
            ) from error
        except NotInFormError as error:
            raise BlobDamagedError(f"the blob {digest} is damaged: {error}") from error
        if digest_name(hashed.digest()) != digest:
            raise BlobDamagedError(f"the blob {digest} holds other content than its digest says")
        yield held

    def stored_pieces(self, digest: str) -> Iterator[bytes]:
        """The bytes of *digest* in the form in which they are stored, not verified. Raises
        FileNotFoundError and StoreError.
        """
        return _read(self.path_of(digest))

    def read(self, digest: str) -> bytes:
        """The whole content; raises what ``pieces`` does."""
        return b"".join(self.pieces(digest))

    def exists(self, digest: str) -> bool:
        return is_digest(digest) and self.path_of(digest).exists()

    def stored_size(self, digest: str) -> int:
        return self.path_of(digest).stat().st_size


def _read(path: Path) -> Iterator[bytes]:
    with storage_errors(path), path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield piece


class LooseWriter:
    """Stores blobs for one owner, a batch at a time. Blocking.

    New files are written under names of the owner's own, by any number of threads; what becomes of
    them is for ``put_in_place``.
    """

    def __init__(self, root: Path, name: str, disk: Disk) -> None:
        self._incoming = root / "items" / INCOMING / name
        self._disk = disk
        self._numbers = itertools.count(1)

    def open(self) -> AppendFile:
        """A file to write a blob into; hand its path to ``put_in_place`` or ``discard``.

        Raises:
            TakenAwayError: another owner clears up at this moment. StoreError: the disk failed.
        """
        path = self._incoming / str(next(self._numbers))
        try:
            return self._disk.create(path)
        except FileNotFoundError:
            self._disk.make_directories(self._incoming)
        try:
            return self._disk.create(path)
        except FileNotFoundError as error:
            raise _taken_away(path) from error

    def go_on(self, path: Path, size: int) -> AppendFile:
        """Open a file again that ``open`` began and that holds *size* bytes by now.

        Raises:
            TakenAwayError: another owner took it away. StoreError: the disk failed.
        """
        try:
            file = self._disk.append(path)
        except FileNotFoundError as error:
            raise _taken_away(path) from error
        # One made anew lacks its beginning, and must not get a digest's name.
        if os.fstat(file.descriptor).st_size != size:
            file.close()
            self.discard(path)
            raise _taken_away(path)
        return file

    def discard(self, path: Path) -> None:
        """Drop what ``open`` began."""
        _unlink(path, self._disk)

    def close(self) -> None:
        """Leave nothing behind, when all is in its place or discarded."""
        self._disk.remove_directory(self._incoming)


def put_in_place(root: Path, disk: Disk, written: Sequence[tuple[str, Path]]) -> None:
    """Make blobs that are written, by any writers, durable under their digests: synced together,
    and renamed when all are durable. Repeating it is harmless.

    Raises:
        NoSpaceError: what is not in its place yet can be discarded.
        TakenAwayError: another owner took the files away. StoreError: the disk failed.
    """
    if not written:
        return
    blobs = LooseBlobs(root)
    try:
        disk.sync_all(root, [path for _, path in written])
    except FileNotFoundError as error:
        raise _taken_away(Path(error.filename)) from error
    renamed = []
    for digest, path in written:
        target = blobs.path_of(digest)
        try:
            disk.rename(path, target)
        except FileNotFoundError:
            _make_way(path, target, disk)
        renamed.append(target)
    disk.sync_all(root, renamed)


def _make_way(path: Path, target: Path, disk: Disk) -> None:
    """Rename, the first in its directory."""
    disk.make_directories(target.parent)
    try:
        disk.rename(path, target)
    except FileNotFoundError as error:
        raise _taken_away(path) from error


def _taken_away(path: Path) -> TakenAwayError:
    return TakenAwayError(
        f"{path} was taken away before it was in its place",
        hint="A newer owner of the partition does so; whoever owns it reads the content again.",
    )


def clear_incoming(root: Path, is_dead: Callable[[str], bool], disk: Disk) -> None:
    """Take away what writers left whose names *is_dead* says write for nobody any more.

    One that lives all the same may put a file in its place meanwhile, or leave with its directory.
    """
    for directory in (root / "items" / INCOMING).glob("*"):
        if is_dead(directory.name):
            with contextlib.suppress(FileNotFoundError):
                for file in list(directory.iterdir()):
                    _unlink(file, disk)
            disk.remove_directory(directory)


def _unlink(file: Path, disk: Disk) -> None:
    with contextlib.suppress(FileNotFoundError):
        disk.unlink(file)
