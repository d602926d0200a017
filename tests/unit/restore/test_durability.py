"""The order of writes and syncs that a loss of power cannot undo."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from streambackup.restore.id_map import IdMap, id_map_path
from streambackup.restore.run import RestoreRun, prepare
from streambackup.restore.select import AsOf, WholeAccount
from streambackup.runtime.disk import AppendFile, Disk
from streambackup.targets.files import FilesTarget
from streambackup.targets.maildir import MaildirTarget
from tests.unit.restore.restoring import STORE, mailbox


class WatchedDisk(Disk):
    """Fails where something is built upon what a loss of power could still take away."""

    def __init__(self) -> None:
        self.unsynced_files: set[Path] = set()
        self.unsynced_names: set[Path] = set()

    def create(self, path: Path) -> AppendFile:
        self.unsynced_files.add(path)
        return super().create(path)

    def make_directories(self, path: Path) -> list[Path]:
        made = super().make_directories(path)
        self.unsynced_names.update(directory.parent for directory in made)
        return made

    def rename(self, source: Path, target: Path) -> None:
        assert source not in self.unsynced_files, "a name is given to what is not durable"
        self.unsynced_names.add(target.parent)
        super().rename(source, target)

    def append_lines(self, path: Path) -> AppendFile:
        assert not self.unsynced_files, "the id map names files that are not durable"
        assert not self.unsynced_names, "the id map names files whose names are not durable"
        self.unsynced_files.add(path)
        return super().append_lines(path)

    def sync_file(self, path: Path) -> None:
        super().sync_file(path)
        self.unsynced_files.discard(path)
        self.unsynced_names.discard(path)

    def sync_all(self, root: Path, written: Iterable[Path]) -> None:
        super().sync_all(root, written)
        self.unsynced_files.clear()
        self.unsynced_names.clear()


@pytest.mark.parametrize("kind", [FilesTarget, MaildirTarget])
@pytest.mark.parametrize("messages", [1, 40])
def test_nothing_is_built_on_what_is_not_durable(
    kind: type[FilesTarget | MaildirTarget], messages: int, tmp_path: Path
) -> None:
    disk, store, root = WatchedDisk(), mailbox(messages), tmp_path / "new" / "place"
    store.put("anna", "w", "folder", {"name": "Work"}, time_ms=900)
    target = kind(root, "anna", disk=disk)
    plan, history = prepare(store, "anna", WholeAccount(), AsOf(), store=STORE, target=target)
    id_map = IdMap(id_map_path(root, STORE), account="anna", into="anna", disk=disk)
    RestoreRun(plan, history, contents=store, target=target, id_map=id_map).run()
    assert id_map_path(root, STORE).read_bytes().count(b"\n") == messages + 2
    assert disk.unsynced_files == disk.unsynced_names == set()
