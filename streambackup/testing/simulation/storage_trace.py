"""What a disk was asked to do, and every state that a power cut may leave of it.

Between two barriers nothing is ordered: of each file any beginning behind what was synced may be
there, or zeros of that length; of the names that came, went and moved in directories, any of those
that no sync of the directory made durable.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

Image = dict[Path, bytes | None]
"""What is in a directory: files with their content, directories with None."""

SUBSETS_MAX = 5
"""Of so many changes of names all subsets are taken, of more some."""


class Created(NamedTuple):
    path: Path
    file: int


class Written(NamedTuple):
    file: int
    data: bytes


class Cut(NamedTuple):
    file: int
    length: int


class Synced(NamedTuple):
    file: int


class Made(NamedTuple):
    path: Path


class Moved(NamedTuple):
    source: Path
    path: Path


class Removed(NamedTuple):
    path: Path


class DirectorySynced(NamedTuple):
    path: Path


class AllSynced(NamedTuple):
    pass


Operation = Created | Written | Cut | Synced | Made | Moved | Removed | DirectorySynced | AllSynced

_DIRECTORY = -1


class _Change(NamedTuple):
    """*path* is *file* from now on, or with None gone; a move takes *source* away with it."""

    path: Path
    file: int | None
    source: Path | None = None


class Storage:
    """Replays operations on top of *base*, which is durable."""

    def __init__(self, base: Mapping[Path, bytes | None]) -> None:
        self._durable: dict[Path, int] = {}
        self._content: dict[int, bytes] = {}
        self._synced: dict[int, int] = {}
        self._changes: list[_Change] = []
        for number, (path, content) in enumerate(base.items(), 1):
            self._durable[path] = _DIRECTORY if content is None else -number - 1
            if content is not None:
                self._content[-number - 1] = content
                self._synced[-number - 1] = len(content)
        self._names = dict(self._durable)

    def apply(self, operation: Operation) -> None:
        match operation:
            case Created(path, file):
                self._content.setdefault(file, b"")
                self._synced.setdefault(file, 0)
                self._change(_Change(path, file))
            case Made(path):
                self._change(_Change(path, _DIRECTORY))
            case Moved(source, path):
                self._change(_Change(path, self._names[source], source))
            case Removed(path):
                self._change(_Change(path, None))
            case Written(file, data):
                self._content[file] += data
            case Cut(file, length):
                self._content[file] = self._content[file][:length]
                self._synced[file] = min(self._synced[file], length)
            case Synced(file):
                self._synced[file] = len(self._content[file])
            case DirectorySynced(path):
                for change in [c for c in self._changes if c.path.parent == path]:
                    _apply(change, self._durable)
                    self._changes.remove(change)
            case AllSynced():
                self._durable = dict(self._names)
                self._changes.clear()
                self._synced = {file: len(content) for file, content in self._content.items()}

    def file_at(self, path: Path) -> int:
        return self._names[path]

    def _change(self, change: _Change) -> None:
        _apply(change, self._names)
        self._changes.append(change)

    def crashed(self, chance: random.Random, samples: int) -> Iterator[Image]:
        """What a power cut now may leave: all or none of what is not durable, and up to *samples*
        of what lies between for each set of names that may be there.
        """
        for changes in self._subsets(chance, samples):
            names = dict(self._durable)
            for change in changes:
                _apply(change, names)
            for tails in self._tails(names, chance, samples):
                yield _reachable({p: tails.get(f) for p, f in names.items()})

    def _subsets(self, chance: random.Random, samples: int) -> Iterator[Sequence[_Change]]:
        changes = self._changes
        if len(changes) <= SUBSETS_MAX:
            for count in range(len(changes) + 1):
                yield from itertools.combinations(changes, count)
            return
        yield ()
        yield changes
        for _ in range(2 * samples):
            share = chance.random()
            yield [change for change in changes if chance.random() < share]

    def _tails(
        self, names: Mapping[Path, int], chance: random.Random, samples: int
    ) -> Iterator[dict[int, bytes]]:
        """Contents of the files that have a name."""
        there = sorted(set(names.values()) - {_DIRECTORY})
        kept = {file: self._content[file][: self._synced[file]] for file in there}
        yield kept
        open_ones = [file for file in there if self._synced[file] < len(self._content[file])]
        if not open_ones:
            return
        yield {**kept, **{file: self._content[file] for file in open_ones}}
        for _ in range(samples):
            yield {**kept, **{file: self._torn(file, chance) for file in open_ones}}

    def _torn(self, file: int, chance: random.Random) -> bytes:
        whole, synced = self._content[file], self._synced[file]
        data = whole[: chance.choice([synced, len(whole), chance.randint(synced, len(whole))])]
        return data + bytes(chance.choice([0, 0, 0, len(whole) - len(data)]))


def _apply(change: _Change, names: dict[Path, int]) -> None:
    if change.source is not None:
        names.pop(change.source, None)
    if change.file is None:
        names.pop(change.path, None)
    else:
        names[change.path] = change.file


def _reachable(image: Image) -> Image:
    """*image* without what stands in directories that are not there."""
    there: Image = {}
    for path in sorted(image):
        if path.parent in there or len(path.parts) == 1:
            there[path] = image[path]
    return {
        p: c for p, c in there.items() if p.parent == Path() or there.get(p.parent, b"") is None
    }
