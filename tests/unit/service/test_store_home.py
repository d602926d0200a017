"""Making a store, knowing it again, refusing what is not ours."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from streambackup.errors import NoStoreError, StoreError, UsageError
from streambackup.metadata.store_config import FORMAT, STORE_FILE, StoreConfig
from streambackup.runtime.clock import SystemClock
from streambackup.runtime.disk import AppendFile, Disk
from streambackup.service.settings import StoreSettings
from streambackup.service.store_home import (
    FIRST_RUN_FILE,
    StoreHome,
    create_store,
    find_store,
    join_store,
    new_store_id,
    node_id,
    open_store,
    probe,
)
from tests.support.small_disk import small_disk


class CaseInsensitiveDisk(Disk):
    """What is created can be found under its upper-case name as well."""

    def create(self, path: Path) -> AppendFile:
        file = super().create(path)
        os.link(path, path.with_name(path.name.upper()))
        return file

    def unlink(self, path: Path) -> None:
        super().unlink(path)
        super().unlink(path.with_name(path.name.upper()))


def settings(root: Path, state: Path | None = None) -> StoreSettings:
    return StoreSettings(path=root, state_path=state)


def create(root: Path, state: Path | None = None, *, moment_ms: int = 100) -> StoreHome:
    wanted = StoreConfig(store=new_store_id(), created_ms=0, moment_ms=moment_ms)
    return create_store(settings(root, state), wanted, Disk())


def open_(root: Path, state: Path | None = None) -> StoreHome:
    return open_store(settings(root, state), disk=Disk(), clock=SystemClock())


def tree(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


def test_what_init_made_opens_as_the_same_store(tmp_path: Path) -> None:
    made = create(tmp_path / "store")
    opened = open_(tmp_path / "store")
    assert opened == made
    assert opened.state == tmp_path / "store" / "state" / node_id()
    assert opened.identity.moment_ms == 100
    assert find_store(settings(tmp_path / "store")) == made


def test_two_stores_never_have_the_same_id(tmp_path: Path) -> None:
    assert create(tmp_path / "a").config.store != create(tmp_path / "b").config.store


def test_everything_made_is_private(tmp_path: Path) -> None:
    create(tmp_path / "store")
    modes = {path.stat().st_mode & 0o077 for path in (tmp_path / "store").rglob("*")}
    assert modes == {0}


def test_init_repeated_changes_nothing(tmp_path: Path) -> None:
    made = create(tmp_path / "store")
    before = tree(tmp_path)
    assert create(tmp_path / "store") == made
    assert tree(tmp_path) == before


def test_init_with_another_moment_is_refused(tmp_path: Path) -> None:
    create(tmp_path / "store")
    before = tree(tmp_path)
    with pytest.raises(UsageError, match="moment_ms 100"):
        create(tmp_path / "store", moment_ms=200)
    assert tree(tmp_path) == before


def test_init_finishes_what_an_interrupted_one_began(tmp_path: Path) -> None:
    create(tmp_path / "store")
    (tmp_path / "store" / STORE_FILE).unlink()
    made = create(tmp_path / "store")
    assert open_(tmp_path / "store") == made


def test_an_interrupted_init_keeps_the_name_that_it_gave(tmp_path: Path) -> None:
    begun = create(tmp_path / "store")
    (tmp_path / "store" / STORE_FILE).unlink()
    assert create(tmp_path / "store").config.store == begun.config.store


def test_a_store_that_is_not_mounted_is_not_made_anew(tmp_path: Path) -> None:
    """The mount point is there and empty; the state directory lies elsewhere."""
    made = create(tmp_path / "store", tmp_path / "state")
    (tmp_path / "store").rename(tmp_path / "unmounted")
    (tmp_path / "store").mkdir()
    before = tree(tmp_path)
    with pytest.raises(NoStoreError, match=f"{made.config.store}: is it mounted") as caught:
        create(tmp_path / "store", tmp_path / "state")
    assert str(tmp_path / "state" / STORE_FILE) in (caught.value.hint or "")
    with pytest.raises(NoStoreError, match="is it mounted"):
        open_(tmp_path / "store", tmp_path / "state")
    assert tree(tmp_path) == before
    (tmp_path / "store").rmdir()
    (tmp_path / "unmounted").rename(tmp_path / "store")
    assert open_(tmp_path / "store", tmp_path / "state") == made


def test_a_directory_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(StoreError, match=r"not empty.*thesis\.txt"):
        create(tmp_path)
    assert tree(tmp_path) == {"thesis.txt": b"precious"}


def test_without_init_the_cure_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoStoreError) as caught:
        open_(tmp_path)
    assert caught.value.hint is not None
    assert "streambackup init" in caught.value.hint


@pytest.mark.row("F052")
def test_the_path_of_another_store_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    """Two servers, a store each; the second one's service is pointed at the first's path."""
    create(tmp_path / "first", tmp_path / "first-state")
    create(tmp_path / "second", tmp_path / "second-state")
    before = tree(tmp_path)
    with pytest.raises(StoreError, match="not the store that this node was set up for"):
        open_(tmp_path / "first", tmp_path / "second-state")
    assert tree(tmp_path) == before


def test_a_node_that_was_never_set_up_for_a_store_is_refused(tmp_path: Path) -> None:
    create(tmp_path / "store", tmp_path / "one")
    before = tree(tmp_path)
    with pytest.raises(StoreError, match="of another node") as caught:
        open_(tmp_path / "store", tmp_path / "other")
    assert caught.value.hint is not None
    assert "--join" in caught.value.hint
    with pytest.raises(StoreError, match="not this node's"):
        create(tmp_path / "store", tmp_path / "other")
    assert tree(tmp_path) == before


@pytest.mark.row("F053")
@pytest.mark.parametrize("field", ["store", "moment_ms", "ignored_attributes"])
def test_an_edited_store_file_is_noticed(tmp_path: Path, field: str) -> None:
    create(tmp_path)
    file = tmp_path / STORE_FILE
    content = msgspec.json.decode(file.read_bytes())
    content[field] = {"store": "f" * 32, "moment_ms": 1, "ignored_attributes": []}[field]
    file.write_bytes(msgspec.json.encode(content))
    before = tree(tmp_path)
    with pytest.raises(StoreError, match="differs") as caught:
        open_(tmp_path)
    for copy in (file, tmp_path / "state" / node_id() / STORE_FILE):
        assert str(copy) in (caught.value.hint or "")
    assert tree(tmp_path) == before


def test_another_node_joins_when_told_to(tmp_path: Path) -> None:
    made = create(tmp_path / "store", tmp_path / "one")
    joined = join_store(settings(tmp_path / "store", tmp_path / "other"), disk=Disk())
    assert open_(tmp_path / "store", tmp_path / "other") == joined
    assert joined.config == made.config


def test_a_node_of_another_store_does_not_join(tmp_path: Path) -> None:
    create(tmp_path / "first", tmp_path / "first-state")
    create(tmp_path / "second", tmp_path / "second-state")
    with pytest.raises(StoreError, match="belongs to the store"):
        join_store(settings(tmp_path / "first", tmp_path / "second-state"), disk=Disk())


@pytest.mark.row("F062")
def test_the_time_of_the_first_run_is_set_once(tmp_path: Path) -> None:
    create(tmp_path)
    assert not (tmp_path / FIRST_RUN_FILE).exists()
    open_(tmp_path)
    first = (tmp_path / FIRST_RUN_FILE).read_bytes()
    assert first.endswith(b"Z\n")
    open_(tmp_path)
    assert (tmp_path / FIRST_RUN_FILE).read_bytes() == first


@pytest.mark.row("F054")
@pytest.mark.parametrize("refuse", [create, lambda root: probe(root, Disk())])
def test_a_directory_that_cannot_be_written_is_refused_with_the_reason(
    tmp_path: Path, refuse: Callable[[Path], object]
) -> None:
    with small_disk(tmp_path / "disk", "ro") as disk:
        with pytest.raises(StoreError, match=r"cannot be written: .*Read-only file system"):
            refuse(disk.seen)
        assert list(disk.seen.iterdir()) == []


@pytest.mark.row("F054")
def test_a_directory_that_forgets_the_case_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="upper from lower case"):
        probe(tmp_path, CaseInsensitiveDisk())
    assert list(tmp_path.iterdir()) == []


def test_a_store_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    create(tmp_path)
    file = tmp_path / STORE_FILE
    content = msgspec.json.decode(file.read_bytes())
    file.write_bytes(msgspec.json.encode({**content, "format": FORMAT + 1}))
    with pytest.raises(StoreError, match="format 2"):
        find_store(settings(tmp_path))


def test_a_damaged_store_file_is_named(tmp_path: Path) -> None:
    create(tmp_path)
    (tmp_path / STORE_FILE).write_bytes(b"{")
    with pytest.raises(StoreError, match="is damaged"):
        find_store(settings(tmp_path))
