"""Folder paths at an instant: as the folders were called then."""

from __future__ import annotations

from streambackup.reading.folder_paths import FolderPaths
from streambackup.targets.port import FolderPath
from streambackup.testing.memory_store import MemoryStore


def paths(store: MemoryStore) -> FolderPaths:
    return FolderPaths(store.history("anna"))


def test_a_path_has_the_names_of_its_instant() -> None:
    store = MemoryStore()
    store.put("anna", "1", "folder", {"name": "Work"}, time_ms=10)
    store.put("anna", "2", "folder", {"name": "2026", "parent": "1", "use": "archive"}, time_ms=20)
    store.put("anna", "1", "folder", {"name": "Job"}, time_ms=30)
    assert paths(store).of_folder("2", 29) == FolderPath(("Work", "2026"), "archive")
    assert paths(store).of_folder("2", 30) == FolderPath(("Job", "2026"), "archive")
    assert paths(store).of_folder("2", None) == FolderPath(("Job", "2026"), "archive")


def test_a_deleted_folder_keeps_its_last_name() -> None:
    store = MemoryStore()
    store.put("anna", "1", "folder", {"name": "Work"}, time_ms=10)
    store.delete("anna", "1", time_ms=20)
    assert str(paths(store).of_folder("1", 25)) == "Work"


def test_a_folder_told_after_its_items_has_its_first_name() -> None:
    store = MemoryStore()
    store.put("anna", "1", "folder", {"name": "Work"}, time_ms=10)
    store.put("anna", "1", "folder", {"name": "Job"}, time_ms=20)
    assert str(paths(store).of_folder("1", 5)) == "Work"


def test_what_was_never_seen_is_called_unknown() -> None:
    store = MemoryStore()
    store.put("anna", "1", "folder", {"name": "Work", "parent": "7"}, time_ms=10)
    store.put("anna", "2", "folder", {"name": 5}, time_ms=10)
    store.put("anna", "3", "message", {"folder": "1"}, time_ms=10)
    assert str(paths(store).of_folder("9", None)) == "unknown-9"
    assert str(paths(store).of_folder("1", None)) == "unknown-7/Work"
    assert str(paths(store).of_folder("2", None)) == "unknown-2"
    assert str(paths(store).of_folder("3", None)) == "unknown-3"


def test_folders_that_contain_each_other_end_somewhere() -> None:
    store = MemoryStore()
    store.put("anna", "1", "folder", {"name": "A", "parent": "2"}, time_ms=10)
    store.put("anna", "2", "folder", {"name": "B", "parent": "1"}, time_ms=10)
    assert str(paths(store).of_folder("1", None)) == "unknown-1/B/A"
    assert str(paths(store).of_folder("2", None)) == "unknown-2/A/B"


def test_a_folder_in_itself_is_at_the_top() -> None:
    """Some servers say so of their root."""
    store = MemoryStore()
    store.put("anna", "11", "folder", {"name": "ROOT", "parent": "11"}, time_ms=10)
    assert str(paths(store).of_folder("11", None)) == "ROOT"


def test_an_item_without_folder_is_at_the_top() -> None:
    store = MemoryStore()
    store.put("anna", "t", "task", {"title": "Call"}, time_ms=10)
    (state,) = store.history("anna").items["t"].states
    assert paths(store).of_item("t", state, None) == FolderPath()
