"""The tree of plain files: which item becomes which files."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from streambackup.domain.digest import digest_of
from streambackup.domain.entry import ItemType
from streambackup.errors import TargetError
from streambackup.targets.files import FilesTarget, StateFile
from streambackup.targets.port import FolderPath
from tests.contract.target_contract import (
    INBOX,
    MAIL,
    WORK,
    OpenTarget,
    TargetContract,
    bring_back,
    restored,
    tree,
)


@pytest.fixture
def open_target(tmp_path: Path) -> OpenTarget:
    (tmp_path / "root").mkdir()
    return lambda: FilesTarget(tmp_path / "root", "anna")


class TestFilesTarget(TargetContract):
    pass


def test_a_message_is_named_by_date_and_subject(tmp_path: Path) -> None:
    item = restored(
        state={"folder": "f1", "subject": "Re: plans/2026?", "received_ms": 1_700_000_000_000},
        folder=WORK,
    )
    (placed,) = bring_back(FilesTarget(tmp_path, "anna"), item)
    assert placed.name == f"anna/Work/2026/2023-11-14_Re plans 2026_{item.key[:12]}.eml"
    assert (tmp_path / placed.name).stat().st_mtime == 1_700_000_000


@pytest.mark.parametrize(
    ("type", "state", "suffix"),
    [
        (ItemType.MESSAGE, {"folder": "f"}, ".eml"),
        (ItemType.CONTACT, {"folder": "f", "name": "Anna"}, ".vcf"),
        (ItemType.CONTACT_GROUP, {"folder": "f", "name": "All"}, ".vcf"),
        (ItemType.APPOINTMENT, {"folder": "f", "summary": "Lunch"}, ".ics"),
    ],
)
def test_content_becomes_a_file_of_its_kind(
    tmp_path: Path, type: ItemType, state: dict[str, object], suffix: str
) -> None:
    (placed,) = bring_back(FilesTarget(tmp_path, "anna"), restored(type=type, state=state))
    assert placed.name.endswith(suffix)
    assert list(tree(tmp_path).values()) == [MAIL]


@pytest.mark.parametrize(
    ("type", "state"),
    [
        (ItemType.ACCOUNT, {"address": "anna@example.org", "preferences": {"a": [1, 2.5, None]}}),
        (ItemType.FOLDER, {"name": "Work", "color": "red", "new field": {"x": "ü"}}),
        (ItemType.TASK, {"title": "Call"}),
        (ItemType.CONTACT, {"folder": "f", "name": "Anna"}),
        (ItemType.CONTACT_GROUP, {"folder": "f", "name": "All", "members": ["c1"]}),
        (ItemType.APPOINTMENT, {"folder": "f"}),
        (ItemType.MESSAGE, {"folder": "f"}),
        (ItemType.DOCUMENT, {"name": "a.txt"}),
    ],
)
def test_what_has_no_content_becomes_its_state(
    tmp_path: Path, type: ItemType, state: dict[str, object]
) -> None:
    """The file holds the true ids and every field, those of a newer release among them."""
    target = FilesTarget(tmp_path, "anna")
    item = restored("a/b..\0", type=type, state=state, content=None, folder=FolderPath())
    (placed,) = bring_back(target, item)
    told = msgspec.json.decode((tmp_path / placed.name).read_bytes(), type=StateFile)
    assert (told.account, told.item, told.type) == ("anna", "a/b..\0", type)
    assert (told.transaction, told.state) == ("test:00000001:1", state)
    assert target.read(placed.name).kept == placed.kept == state
    assert placed.left_out == ()


def test_a_document_stands_beside_its_state(tmp_path: Path) -> None:
    target = FilesTarget(tmp_path, "anna")
    state = {"name": "Plan v1.2.pdf", "modified_ms": 1_700_000_000_000, "shared": True}
    item = restored("d1", ItemType.DOCUMENT, state, content=b"%PDF", folder=FolderPath())
    (placed,) = bring_back(target, item)
    assert placed.name == f"anna/Plan v1.2_{item.key[:12]}.pdf"
    assert sorted(tree(tmp_path)) == [placed.name, placed.name + ".json"]
    assert target.read(placed.name).digest == digest_of(b"%PDF")
    assert target.read(placed.name).kept == state
    assert (tmp_path / placed.name).stat().st_mtime == 1_700_000_000


def test_content_that_no_one_expects_stands_beside_the_state(tmp_path: Path) -> None:
    target = FilesTarget(tmp_path, "anna")
    (placed,) = bring_back(target, restored("t", ItemType.TASK, {"title": "Call"}, content=b"\0"))
    assert placed.name.endswith(".content")
    assert target.read(placed.name).digest == digest_of(b"\0")
    assert target.read(placed.name).kept == {"title": "Call"}


@pytest.mark.parametrize("name", [".bashrc", "a.", "x", "a.json", "..", "a." + "y" * 40, "é.ü"])
def test_any_name_of_a_document_will_do(tmp_path: Path, name: str) -> None:
    target = FilesTarget(tmp_path, "anna")
    state = {"name": name}
    (placed,) = bring_back(target, restored("d1", ItemType.DOCUMENT, state, content=b"data"))
    read = FilesTarget(tmp_path, "anna").read(placed.name)
    assert (read.digest, read.kept) == (digest_of(b"data"), state)


def test_a_missing_state_file_is_added_to_its_document(tmp_path: Path) -> None:
    """A crash between the two names leaves one of them; the repeat completes the pair."""
    item = restored("d1", ItemType.DOCUMENT, {"name": "a.txt"}, content=b"data")
    (placed,) = bring_back(FilesTarget(tmp_path, "anna"), item)
    complete = tree(tmp_path)
    (tmp_path / f"{placed.name}.json").unlink()
    assert bring_back(FilesTarget(tmp_path, "anna"), item) == [placed]
    assert tree(tmp_path) == complete


def test_accounts_share_a_root_without_meeting(tmp_path: Path) -> None:
    accounts = ["anna", "Anna", "a/b", "..", "id_mapper-1.jsonl", ".streambackup-restoring"]
    (tmp_path / "id_mapper-1.jsonl").write_bytes(b"")
    for account in accounts:
        bring_back(FilesTarget(tmp_path, account), restored(folder=FolderPath()))
    assert len(tree(tmp_path)) == len(accounts) + 1
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == len(accounts)


def test_a_link_in_the_tree_is_not_followed(tmp_path: Path) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    (root / "anna").mkdir(parents=True)
    (root / "anna" / "INBOX").symlink_to(outside)
    (placed,) = bring_back(FilesTarget(root, "anna"), restored())
    assert FilesTarget(root, "anna").read(placed.name).digest == digest_of(MAIL)
    assert list(outside.iterdir()) == []


def test_files_are_private(tmp_path: Path) -> None:
    (placed,) = bring_back(FilesTarget(tmp_path / "new", "anna"), restored())
    path = tmp_path / "new" / placed.name
    assert path.stat().st_mode & 0o777 == 0o600
    assert {p.stat().st_mode & 0o777 for p in path.parents if tmp_path in p.parents} == {0o700}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_root_restores_for_the_owner_of_the_place(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, 12346)
    bring_back(
        FilesTarget(tmp_path, "anna"), restored(), restored("t", ItemType.TASK, {"title": "x"})
    )
    owners = {(path.stat().st_uid, path.stat().st_gid) for path in tmp_path.rglob("*")}
    assert owners == {(12345, 12346)}


def test_a_state_file_that_was_overwritten_is_an_error(tmp_path: Path) -> None:
    target = FilesTarget(tmp_path, "anna")
    (placed,) = bring_back(target, restored("t", ItemType.TASK, {"title": "x"}, content=None))
    (tmp_path / placed.name).write_bytes(b"{}")
    with pytest.raises(TargetError, match="not what was written"):
        target.read(placed.name)


def test_nothing_of_the_work_is_left_behind(tmp_path: Path) -> None:
    target = FilesTarget(tmp_path, "anna")
    target.ensure_folders([INBOX])
    bring_back(target, restored())
    assert [path.name for path in tmp_path.iterdir()] == ["anna"]
