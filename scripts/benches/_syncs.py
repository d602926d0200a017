"""When what a service wrote became durable: a hook in its Python notes when each sync ended and how
long it took, and the journal tells which frames the file held by then.
"""

from __future__ import annotations

import bisect
import contextlib
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from streambackup.journal.frame import Frame, decode_frames

NOTE_SYNCS = """
import os, time
file = open(os.environ["SYNCS_FILE"], "a", buffering=1)
def noted(sync):
    def call(descriptor):
        size, began = os.fstat(descriptor).st_size, time.monotonic_ns()
        sync(descriptor)
        ended = time.monotonic_ns()
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        file.write(f"{ended} {ended - began} {size} {path}\\n")
    return call
os.fdatasync, os.fsync = noted(os.fdatasync), noted(os.fsync)
"""
"""The ``sitecustomize`` of the service."""


@contextlib.contextmanager
def note_syncs(file: Path) -> Iterator[None]:
    """Programs of Python that are started inside note their syncs in *file*."""
    hook = file.with_name("hook")
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(NOTE_SYNCS)
    before = os.environ.get("PYTHONPATH", "")
    os.environ |= {"PYTHONPATH": str(hook), "SYNCS_FILE": str(file)}
    try:
        yield
    finally:
        os.environ["PYTHONPATH"] = before


class Durable(NamedTuple):
    """A frame of a partition, and when it was durable, in ns of the monotonic clock."""

    partition: int
    frame: Frame
    since_ns: int


class Syncs:
    """What a service noted in *file*, and what the journals of its store at *root* hold."""

    def __init__(self, file: Path, root: Path) -> None:
        self._root = root
        self._sizes = defaultdict[str, list[int]](list)
        self._ended_ns = defaultdict[str, list[int]](list)
        self._took_ns = defaultdict[str, list[int]](list)
        for line in file.read_text().splitlines():
            ended_ns, took_ns, size, path = line.split(" ", 3)
            self._sizes[path].append(int(size))
            self._ended_ns[path].append(int(ended_ns))
            self._took_ns[path].append(int(took_ns))

    def frames(self, topic: str) -> Iterator[Durable]:
        """The frames of a topic's journals, each partition's in their order."""
        for segment in sorted(self._root.glob(f"journal/*/{topic}/*/*.journal")):
            data = segment.read_bytes()
            placed = list(decode_frames(data))
            ends = [*(at for at, _ in placed[1:]), len(data)]
            for (_, frame), end in zip(placed, ends, strict=True):
                assert isinstance(frame, Frame)
                since_ns = self._durable_ns(str(segment), end)
                yield Durable(int(segment.parent.name), frame, since_ns)

    def took_ns(self, topic: str, after_ns: int, before_ns: int) -> list[int]:
        """How long the syncs of a topic's journals took that ended between two instants."""
        return [
            took_ns
            for path in self._took_ns
            if f"/{topic}/" in path and path.endswith(".journal")
            for took_ns, ended_ns in zip(self._took_ns[path], self._ended_ns[path], strict=True)
            if after_ns < ended_ns < before_ns
        ]

    def first_of_segments(self, topic: str) -> Iterator[tuple[Path, int]]:
        """The segments of a topic's journals, and when their first frames were durable."""
        last_ns = self._ended_ns[str(self._root)][-1]
        for path, ended_ns in self._ended_ns.items():
            if f"/{topic}/" in path and path.endswith(".journal") and ended_ns[0] <= last_ns:
                yield Path(path), self._with_name(ended_ns[0])

    def _durable_ns(self, segment: str, end: int) -> int:
        """When the first *end* bytes of a file were synced, and with the first of them its name."""
        sync = bisect.bisect_left(self._sizes[segment], end)
        ended_ns = self._ended_ns[segment][sync]
        return ended_ns if sync > 0 else self._with_name(ended_ns)

    def _with_name(self, ended_ns: int) -> int:
        """When the directories were synced that a new file has its name in."""
        of_root = self._ended_ns[str(self._root)]
        return of_root[bisect.bisect_left(of_root, ended_ns)]
