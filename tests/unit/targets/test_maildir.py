"""The Maildir++: names, flags and folders as mail programs expect them."""

from __future__ import annotations

import mailbox
import os
from pathlib import Path

import pytest

from streambackup.domain.digest import digest_of
from streambackup.domain.entry import ItemType
from streambackup.errors import ItemRefusedError, TargetError
from streambackup.sources.maildir.names import folder_name, parent_of
from streambackup.targets.maildir import MaildirTarget, folder_directory
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
    return lambda: MaildirTarget(tmp_path / "root" / "Maildir", "anna")


class TestMaildirTarget(TargetContract):
    pass


@pytest.mark.parametrize(
    ("names", "use", "directory"),
    [
        (("INBOX",), None, ""),
        (("Inbox",), None, ""),
        (("Posteingang",), "inbox", ""),
        (("root", "Inbox"), "inbox", ""),
        ((), None, ""),
        (("INBOX", "Lists"), None, ".INBOX.Lists"),
        (("Work", "2026"), None, ".Work.2026"),
        (("Entwürfe",), "drafts", ".Entw&APw-rfe"),
        (("Tom & Jerry",), None, ".Tom &- Jerry"),
        (("台北", "日本語"), None, ".&U,BTFw-.&ZeVnLIqe-"),
    ],
)
def test_folders_are_named_as_dovecot_does(
    names: tuple[str, ...], use: str | None, directory: str
) -> None:
    assert folder_directory(FolderPath(names, use)) == directory


@pytest.mark.parametrize("name", ["a.b", "a/b", "~a", "", "\0", "x\ty", "\ud800", "n" * 300])
def test_a_name_that_no_maildir_can_have_is_changed_and_said_so(tmp_path: Path, name: str) -> None:
    item = restored(
        "f", ItemType.FOLDER, {"name": name}, content=None, folder=FolderPath(("A", name))
    )
    (placed,) = bring_back(MaildirTarget(tmp_path, "anna"), item)
    assert (tmp_path / placed.name / "cur").is_dir()
    assert placed.left_out == (("name",) if name else ())


def test_other_programs_read_what_was_restored(tmp_path: Path) -> None:
    state = {
        "folder": "f1",
        "flags": ["seen", "answered", "flagged", "draft", "forwarded", "deleted"],
        "received_ms": 1_700_000_000_000,
    }
    bring_back(MaildirTarget(tmp_path / "box", "anna"), restored(state=state, folder=WORK))
    box = mailbox.Maildir(str(tmp_path / "box"), create=False)
    assert box.list_folders() == ["Work.2026"]
    (message,) = box.get_folder("Work.2026")
    assert message.get_flags() == "DFPRST"
    assert message.get_subdir() == "cur"
    assert message.get_date() == 1_700_000_000
    (path,) = (tmp_path / "box" / ".Work.2026" / "cur").iterdir()
    assert path.read_bytes() == MAIL


def test_flags_that_have_no_letter_are_named(tmp_path: Path) -> None:
    state = {"folder": "f", "flags": ["seen", "muted"], "tags": ["red"], "thread": "t9"}
    (placed,) = bring_back(MaildirTarget(tmp_path, "anna"), restored(state=state))
    assert placed.kept["flags"] == ["seen"]
    assert placed.left_out == ("flags", "tags", "thread")


@pytest.mark.parametrize(
    ("type", "state"),
    [
        (ItemType.CONTACT, {"folder": "f"}),
        (ItemType.CONTACT_GROUP, {"folder": "f", "name": "All"}),
        (ItemType.APPOINTMENT, {"folder": "f"}),
        (ItemType.TASK, {"title": "Call"}),
        (ItemType.DOCUMENT, {"name": "a.txt"}),
        (ItemType.ACCOUNT, {"address": "anna@example.org", "signature": "A."}),
    ],
)
def test_what_is_no_mail_is_refused(
    tmp_path: Path, type: ItemType, state: dict[str, object]
) -> None:
    target = MaildirTarget(tmp_path, "anna")
    with pytest.raises(ItemRefusedError, match=f"this {type}"):
        target.put(restored(type=type, state=state))
    assert tree(tmp_path) == {}


def test_a_message_without_content_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ItemRefusedError):
        MaildirTarget(tmp_path, "anna").put(restored(content=None))


def test_an_account_that_is_only_its_address_is_the_maildir_itself(tmp_path: Path) -> None:
    item = restored(
        "anna", ItemType.ACCOUNT, {"address": "anna@example.org"}, content=None, folder=FolderPath()
    )
    target = MaildirTarget(tmp_path, "anna")
    (placed,) = bring_back(target, item)
    assert target.holds(placed.name)


def test_a_folder_is_restored_empty_and_tells_what_it_lost(tmp_path: Path) -> None:
    state = {"name": "Work", "parent": None, "use": "work", "color": "red", "subscribed": False}
    item = restored("f", ItemType.FOLDER, state, content=None, folder=FolderPath(("Work",), "work"))
    target = MaildirTarget(tmp_path, "anna")
    (placed,) = bring_back(target, item)
    assert placed.name == ".Work/"
    assert placed.left_out == ("color", "subscribed")
    assert target.holds(".Work/")
    assert sorted(path.name for path in (tmp_path / ".Work").iterdir()) == [
        "cur",
        "maildirfolder",
        "new",
        "tmp",
    ]


def test_what_a_client_did_since_does_not_bring_a_double(tmp_path: Path) -> None:
    """It marked the message, gave it a number as mbsync does, and moved it to another folder."""
    target = MaildirTarget(tmp_path, "anna")
    (placed,) = bring_back(target, restored())
    target.ensure_folders([WORK])
    moved = tmp_path / ".Work.2026" / "cur" / (Path(placed.name).name.replace(":2,", ",U=7:2,FS"))
    (tmp_path / placed.name).rename(moved)
    assert target.holds(placed.name)
    assert target.read(placed.name).kept["flags"] == ["flagged", "seen"]
    (again,) = bring_back(MaildirTarget(tmp_path, "anna"), restored())
    assert tmp_path / again.name == moved
    assert len([data for data in tree(tmp_path).values() if data]) == 1


def test_what_a_client_deleted_since_is_not_held(tmp_path: Path) -> None:
    target = MaildirTarget(tmp_path, "anna")
    (placed,) = bring_back(target, restored())
    (tmp_path / placed.name).unlink()
    assert not target.holds(placed.name)
    assert bring_back(target, restored()) == [placed]
    assert target.read(placed.name).digest == digest_of(MAIL)


def test_what_another_restore_brought_meanwhile_is_held(tmp_path: Path) -> None:
    """Also where a client has moved it since."""
    target, other = MaildirTarget(tmp_path, "anna"), MaildirTarget(tmp_path, "anna")
    bring_back(target, restored("m1"))
    stayed, moved = bring_back(other, restored("m2"), restored("m3"))
    (tmp_path / moved.name).rename(tmp_path / "new" / Path(moved.name).name.partition(":")[0])
    assert target.holds(stayed.name)
    assert target.holds(moved.name)
    assert not target.holds("cur/1.0.streambackup:2,")


def test_a_directory_that_is_no_maildir_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_bytes(b"mine")
    with pytest.raises(TargetError, match="no Maildir"):
        MaildirTarget(tmp_path, "anna").put(restored())
    assert tree(tmp_path) == {"letter.txt": b"mine"}


def test_a_directory_with_only_an_id_map_is_taken(tmp_path: Path) -> None:
    """So it looks when a first restore was killed early."""
    (tmp_path / "id_mapper-1.jsonl").write_bytes(b"")
    (tmp_path / "tmp").mkdir()
    assert MaildirTarget(tmp_path, "anna").ensure_folders([INBOX]) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_root_restores_for_the_owner_of_the_maildir(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, 12346)
    bring_back(MaildirTarget(tmp_path, "anna"), restored(folder=WORK), restored("m2"))
    owners = {(path.stat().st_uid, path.stat().st_gid) for path in tmp_path.rglob("*")}
    assert owners == {(12345, 12346)}


@pytest.mark.parametrize("name", ["Work", "50%", "100%25", "M%C3%BCnchen", "%FF", "Ünï & 📬"])
def test_a_folder_is_called_the_same_when_the_source_sees_it_again(name: str) -> None:
    directory = folder_directory(FolderPath(("Work", name)))
    assert folder_name(directory.encode()) == name


@pytest.mark.parametrize("directory", [".A..B", ".dot.", ".A...B", ".a&b..c"])
def test_empty_levels_of_a_folder_come_back(directory: str) -> None:
    names = []
    above: bytes | None = directory.encode()
    while above:
        names.append(folder_name(above))
        above = parent_of(above)

    assert folder_directory(FolderPath(tuple(reversed(names)))) == directory.replace("&", "&-")


def test_no_folder_at_the_top_has_an_empty_name_or_hides_as_one_that_is_on_its_way_out() -> None:
    for names in (("/",), ("/", "A")):
        assert folder_directory(FolderPath(names)).startswith("._-")


def test_all_of_a_folder_with_an_empty_name_is_told_by_its_directory(tmp_path: Path) -> None:
    state = {"name": "/"}
    item = restored("f", ItemType.FOLDER, state, content=None, folder=FolderPath(("dot", "/")))
    (placed,) = bring_back(MaildirTarget(tmp_path, "anna"), item)

    assert placed.left_out == ()
    assert (tmp_path / ".dot." / "cur").is_dir()
