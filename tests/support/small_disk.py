"""A file system of its own that can be filled up: a tmpfs that only commands of ours see."""

from __future__ import annotations

import contextlib
import itertools
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_HOLD = 'mount -t tmpfs -o "$1" tmpfs "$0" && echo mounted && exec cat'
_PIECE_BYTES = 4096


class SmallDisk(NamedTuple):
    """Commands that begin with ``via`` find it at ``path``; this process finds it at ``seen``."""

    path: Path
    seen: Path
    via: tuple[str, ...]

    def fill(self) -> None:
        """Take all the space there is."""
        for size in (_PIECE_BYTES * 256, _PIECE_BYTES):
            with contextlib.suppress(OSError):
                for number in itertools.count():
                    (self.seen / f"fill-{size}-{number}").write_bytes(bytes(size))

    def free(self) -> None:
        """Give back what ``fill`` took."""
        for file in self.seen.glob("fill-*"):
            file.unlink()


@contextlib.contextmanager
def small_disk(path: Path, options: str) -> Iterator[SmallDisk]:
    """A tmpfs with *options*, mounted at *path* in a mount namespace that ends with the block."""
    path.mkdir()
    hold = ["unshare", "--map-root-user", "--mount", "sh", "-c", _HOLD, str(path), options]
    with subprocess.Popen(hold, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"mounted\n"
        namespace = f"--target={holder.pid}", "--user", "--mount", "--preserve-credentials"
        yield SmallDisk(path, Path(f"/proc/{holder.pid}/root{path}"), ("nsenter", *namespace))
        holder.stdin.close()
