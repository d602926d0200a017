"""The disk that loses power is no kinder than a real one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streambackup.errors import NoSpaceError, StoreError
from streambackup.testing.lossy_disk import LossyDisk, PowerCutError

SEEDS = range(40)


def disk_at(path: Path, **faults: Any) -> LossyDisk:
    root = path / "root"
    root.mkdir(parents=True)
    return LossyDisk(root, **faults)


def outcomes(tmp_path: Path, script: str, seeds: range = SEEDS) -> set[str | None]:
    """What the file ``root/a`` may hold after *script* and a crash; None where it is gone."""
    found = set()
    for seed in seeds:
        disk = disk_at(tmp_path / f"{script}-{seed}")
        path = disk.root / "a"
        for step in script.split():
            match step:
                case "write":
                    file = disk.append(path)
                    file.write(b"abc")
                case "sync":
                    file.sync()
                case "names":
                    disk.sync_directory(disk.root)
                case "unlink":
                    disk.unlink(path)
                case "all":
                    disk.sync_all(disk.root, [path])
        file.close()
        disk.crash(seed)
        found.add(path.read_text("latin-1") if path.exists() else None)
    return found


def test_a_file_synced_by_data_and_name_is_whole(tmp_path: Path) -> None:
    assert outcomes(tmp_path, "write sync names") == {"abc"}
    assert outcomes(tmp_path, "write all") == {"abc"}


def test_data_without_a_name_may_be_gone_and_a_name_without_data_torn(tmp_path: Path) -> None:
    assert outcomes(tmp_path, "write sync") == {None, "abc"}
    assert {None, "", "a", "abc"} <= outcomes(tmp_path, "write", range(200))
    assert {"", "a", "ab", "abc", "a\0"} <= outcomes(tmp_path, "write names", range(200))


def test_what_was_synced_stays_under_a_tail_that_is_lost(tmp_path: Path) -> None:
    found = outcomes(tmp_path, "write sync names write", range(100))

    assert all(text is not None and text.startswith("abc") for text in found)
    assert {"abc", "abca", "abcabc"} <= found


def test_an_unlink_that_was_not_synced_may_be_undone(tmp_path: Path) -> None:
    assert outcomes(tmp_path, "write sync names unlink") == {None, "abc"}
    assert outcomes(tmp_path, "write sync names unlink names") == {None}


def test_a_rename_happens_wholly_or_not_at_all(tmp_path: Path) -> None:
    found = set()
    for seed in SEEDS:
        disk = disk_at(tmp_path / str(seed))
        disk.replace(disk.root / "a", b"old")
        file = disk.create(disk.root / "new")
        file.write(b"new")
        file.sync()
        file.close()
        disk.sync_directory(disk.root)
        disk.rename(disk.root / "new", disk.root / "a")
        disk.crash(seed)
        found.add(tuple(p.read_text() for p in sorted(disk.root.iterdir())))

    assert found == {("old", "new"), ("new",)}


def test_replace_is_durable_on_return(tmp_path: Path) -> None:
    for seed in SEEDS:
        disk = disk_at(tmp_path / str(seed))
        disk.replace(disk.root / "a", b"old")
        disk.replace(disk.root / "a", b"new")
        disk.crash(seed)

        assert [(p.name, p.read_text()) for p in disk.root.iterdir()] == [("a", "new")]


def test_a_directory_that_was_not_synced_takes_its_files_along(tmp_path: Path) -> None:
    found = set()
    for seed in SEEDS:
        disk = disk_at(tmp_path / str(seed))
        path = disk.root / "d" / "a"
        disk.make_directories(path.parent)
        file = disk.create(path)
        file.sync()
        file.close()
        disk.sync_directory(path.parent)
        disk.crash(seed)
        found.add((path.parent.exists(), path.exists()))

    assert found == {(False, False), (True, True)}


@pytest.mark.parametrize("syncfs", [True, False])
def test_sync_all_reaches_directories_that_somebody_else_made(tmp_path: Path, syncfs: bool) -> None:
    for seed in SEEDS:
        disk = disk_at(tmp_path / str(seed), syncfs=syncfs)
        path = disk.root / "d" / "e" / "a"
        disk.make_directories(path.parent)
        disk.revive()
        disk.append_lines(path).write(b"line\n")
        disk.sync_all(disk.root, [path])
        disk.crash(seed)

        assert path.read_bytes() == b"line\n"


def test_files_of_others_stay(tmp_path: Path) -> None:
    disk = disk_at(tmp_path)
    (disk.root / "other").write_text("here")
    disk.crash(0)

    assert (disk.root / "other").read_text() == "here"


def test_nothing_happens_after_the_power_went_out(tmp_path: Path) -> None:
    disk = disk_at(tmp_path, dies_at=2)
    file = disk.create(disk.root / "a")

    with pytest.raises(PowerCutError):
        file.write(b"four")
    with pytest.raises(PowerCutError):
        disk.make_directories(disk.root / "d")
    assert (disk.root / "a").read_bytes() == b"fo"

    disk.revive()
    with pytest.raises(PowerCutError):
        file.write(b"four")
    disk.make_directories(disk.root / "d")
    assert disk.steps == 5


def test_no_space_until_there_is_some(tmp_path: Path) -> None:
    disk = disk_at(tmp_path, full_at_write=2)
    file = disk.create(disk.root / "a")
    file.write(b"one")
    for _ in range(2):
        with pytest.raises(NoSpaceError):
            file.write(b"four")
    disk.make_space()
    file.write(b"two")

    assert file.path.read_bytes() == b"onefofotwo"


def test_a_sync_fails_as_told(tmp_path: Path) -> None:
    disk = disk_at(tmp_path, fails_at_sync=1, full_at_sync=3)
    file = disk.create(disk.root / "a")
    with pytest.raises(StoreError, match="Input/output"):
        file.sync()
    file.sync()
    with pytest.raises(NoSpaceError):
        disk.sync_directory(disk.root)
    assert disk.syncs == 3
