"""What the Maildir source makes of what happens in a tree."""

from __future__ import annotations

import mailbox
import os
import shutil
from pathlib import Path
from typing import Any

from streambackup.domain.digest import digest_of
from streambackup.domain.entry import ItemType
from streambackup.events.mailbox import Delete, FolderDelete, Put
from streambackup.sources.maildir.watcher import Event, Watcher
from tests.corpus.maildirs import make_folder
from tests.support.maildir import ACCOUNT, source_of
from tests.support.watching import Watching, watching

MAIL = b"From: ann@example.org\r\nSubject: plans\r\n\r\nSee you.\r\n"


def deliver(folder: Path, name: bytes | str = "1.M1.host", data: bytes = MAIL) -> Path:
    """As programs do: whole in tmp/ first, then by rename where readers look."""
    name = os.fsencode(name)
    part = b"cur/" if b":" in name else b"new/"
    tmp, path = os.fsencode(folder) + b"/tmp/x", os.fsencode(folder) + b"/" + part + name
    Path(os.fsdecode(tmp)).write_bytes(data)
    os.rename(tmp, path)
    return Path(os.fsdecode(path))


def items(seen: Watching) -> list[str]:
    return list(seen.view.messages(ACCOUNT))


def states(seen: Watching) -> list[dict[str, Any]]:
    held = seen.view.items.get(ACCOUNT, {}).values()
    return [item.state for item in held if item.type == ItemType.MESSAGE]


def places(seen: Watching) -> list[tuple[str, ...]]:
    """The folders of the messages."""
    return [held[0] for held in seen.view.messages(ACCOUNT).values()]


def count(seen: Watching) -> int:
    return len(items(seen))


async def test_a_state_says_what_header_and_file_say(root: Path, state: Path) -> None:
    path = deliver(root, "1.host:2,FS")
    os.utime(path, (1_700_000_000, 1_700_000_000))

    async with watching(source_of(root), state) as seen:
        await seen.until(lambda: count(seen) == 1)

    (put,) = (e for e in seen.view.history if isinstance(e, Put) and e.type == ItemType.MESSAGE)
    inbox = seen.view.folders(ACCOUNT)["INBOX",]
    assert put.item == f"{inbox}/1.host"
    assert put.state == {
        "folder": inbox,
        "flags": ["flagged", "seen"],
        "tags": [],
        "received_ms": 1_700_000_000_000,
        "sender": "ann@example.org",
        "recipients": [],
        "subject": "plans",
    }
    assert put.time_ms == path.stat().st_ctime_ns // 1_000_000
    assert (put.digest, put.size) == (digest_of(MAIL), len(MAIL))


async def test_flags_that_flip_as_fast_as_they_can_are_never_a_deletion(
    root: Path, state: Path
) -> None:
    path = deliver(root, "1.host:2,")
    async with watching(source_of(root), state) as seen:
        await seen.until(lambda: count(seen) == 1)
        for number in range(3_000):
            flags = "".join(f for n, f in enumerate("DFRST") if number >> n & 1)
            new = path.with_name(f"1.host:2,{flags}")
            path.rename(new)
            path = new
        deliver(root, "last.host")
        await seen.until(lambda: count(seen) == 2)

    assert not [event for event in seen.view.history if isinstance(event, Delete)]
    assert states(seen)[0]["flags"] == ["draft", "flagged", "answered", "deleted"]


async def test_names_of_any_bytes_are_items_of_their_own(root: Path, state: Path) -> None:
    names = [
        b"\xff\xfe.host",
        b"%FF%FE.host",
        b"\xef\xbf\xbd.host",
        "📬.host".encode(),
        b"TWIN.host",
        b"twin.host",
        b"new\nline",
        b" ",
        b"n" * 250,
        b"a&b,c=d",
    ]
    for name in names[:5]:
        deliver(root, name)
    async with watching(source_of(root), state) as seen:
        await seen.until(lambda: count(seen) == 5)
        for name in names[5:]:
            deliver(root, name)
        await seen.until(lambda: count(seen) == len(names))
        for name in names:
            path = os.fsencode(root) + b"/new/" + name
            os.rename(path, os.fsencode(root) + b"/cur/" + name[:240] + b":2,S")
        await seen.until(
            lambda: sum("seen" in held["flags"] for held in states(seen)) == len(names)
        )

    assert len(set(items(seen))) >= len(names)
    assert all(item.encode("utf-8") for item in items(seen))


async def test_folders_of_any_name_are_watched(root: Path, state: Path) -> None:
    names = [
        "Entw&APw-rfe",
        "a&b",
        "UTF8-Ü",
        "x" * 200,
        "📬",
        "\udcff",
        "Deep.er.still",
        "~",
        "50%",
    ]
    async with watching(source_of(root), state) as seen:
        for name in names:
            make_folder(root, name)
            deliver(root / f".{name}", data=MAIL + os.fsencode(name))
        await seen.until(lambda: count(seen) == len(names))

    shown = set(seen.view.folders(ACCOUNT))
    assert ("Entwürfe",) in shown
    assert ("a&b",) in shown
    assert ("/FF",) in shown
    assert ("50%",) in shown
    assert ("Deep", "er", "still") in shown


async def test_what_is_hidden_or_on_its_way_is_not_a_message(root: Path, state: Path) -> None:
    (root / "tmp" / "unfinished").write_bytes(MAIL)
    (root / "cur" / ".nfs0001").write_bytes(MAIL)
    (root / "cur" / "directory").mkdir()
    (root / "..DOVECOT-TRASHED" / "cur").mkdir(parents=True)
    (root / ".not-a-folder").mkdir()
    async with watching(source_of(root), state) as seen:
        deliver(root)
        await seen.until(lambda: count(seen) == 1)

    assert set(seen.view.folders(ACCOUNT)) == {("INBOX",)}


async def test_symbolic_links_are_not_followed_and_that_is_said(
    root: Path, state: Path, tmp_path: Path
) -> None:
    make_folder(tmp_path / "elsewhere", "INBOX")
    secret = deliver(tmp_path / "elsewhere", "secret")
    (root / ".Link").symlink_to(tmp_path / "elsewhere")
    (root / "cur" / "link").symlink_to(secret)
    source = source_of(root)

    async with watching(source, state) as seen:
        deliver(root)
        await seen.until(lambda: count(seen) == 1)

    assert len(source.warnings) == 2
    assert "symbolic link" in " ".join(source.warnings)
    assert not any("elsewhere" in item for item in items(seen))


async def test_a_copy_by_hard_link_is_a_new_item_with_a_reference(root: Path, state: Path) -> None:
    """As IMAP servers copy: the original stays."""
    make_folder(root, "Copies")
    path = deliver(root, "1.host:2,S")
    async with watching(source_of(root), state) as seen:
        await seen.until(lambda: count(seen) == 1)
        os.link(path, root / ".Copies" / "cur" / "2.host:2,S")
        await seen.until(lambda: count(seen) == 2)
        path.unlink()
        await seen.until(lambda: count(seen) == 1)

    assert items(seen)[0].endswith("2.host")
    assert list(seen.producer.contents().values()) == [MAIL]


async def test_a_move_by_link_and_unlink_is_a_move(root: Path, state: Path) -> None:
    make_folder(root, "There")
    path = deliver(root, "1.host:2,S")
    async with watching(source_of(root), state) as seen:
        await seen.until(lambda: count(seen) == 1)
        before = items(seen)
        os.link(path, root / ".There" / "cur" / "9.host:2,S")
        path.unlink()
        await seen.until(lambda: places(seen) == [("There",)])

    assert items(seen) == before


async def test_the_id_of_a_message_that_moved_away_is_not_given_again(
    root: Path, state: Path
) -> None:
    make_folder(root, "There")
    path = deliver(root, "1.host:2,S")
    async with watching(source_of(root), state) as seen:
        await seen.until(lambda: count(seen) == 1)
        (first,) = items(seen)
        path.rename(root / ".There" / "cur" / path.name)
        await seen.until(lambda: places(seen) == [("There",)])
        deliver(root, "1.host:2,", MAIL + b"other")
        await seen.until(lambda: count(seen) == 2)

    assert sorted(items(seen)) == [first, f"{first}~2"]


async def test_a_mail_that_is_edited_in_place_has_new_content(root: Path, state: Path) -> None:
    path = deliver(root, "draft.host:2,D")
    async with watching(source_of(root), state) as seen:
        await seen.until(lambda: count(seen) == 1)
        path.write_bytes(MAIL + b"More.\r\n")
        await seen.until(lambda: digest_of(path.read_bytes()) in held_digests(seen))

    assert count(seen) == 1
    assert set(seen.producer.contents().values()) >= {MAIL, MAIL + b"More.\r\n"}


async def test_a_mail_that_python_s_mailbox_rewrites_is_the_same_item(
    root: Path, state: Path
) -> None:
    box = mailbox.Maildir(root, create=False)
    key = box.add(MAIL)
    async with watching(source_of(root), state) as seen:
        await seen.until(lambda: count(seen) == 1)
        before = items(seen)
        message = box[key]
        message.set_subdir("cur")
        message.set_flags("RS")
        message["X-Note"] = "rewritten"
        box[key] = message
        await seen.until(lambda: states(seen) and states(seen)[0]["flags"] == ["answered", "seen"])

    assert items(seen) == before


async def test_a_file_that_changes_beside_the_folders_does_not_keep_one_from_being_removed(
    root: Path, state: Path
) -> None:
    class Busy(Watcher):
        def take(self) -> tuple[list[Event], bool]:
            taken = super().take()
            (root / ".dovecot.lda-dupes").touch()
            return taken

    make_folder(root, "Old")
    async with watching(source_of(root, Busy), state) as seen:
        await seen.until(lambda: ("Old",) in seen.view.folders(ACCOUNT))
        shutil.rmtree(root / ".Old")
        await seen.until(lambda: ("Old",) not in seen.view.folders(ACCOUNT))

    assert isinstance(seen.view.history[-1], FolderDelete)


async def test_two_files_with_one_name_are_one_message_and_that_is_said(
    root: Path, state: Path
) -> None:
    deliver(root, "1.host:2,S")
    deliver(root, "1.host:2,FS", MAIL + b"other")
    source = source_of(root)
    async with watching(source, state) as seen:
        deliver(root, "2.host")
        await seen.until(lambda: count(seen) == 2)

    assert "backed up instead" in " ".join(source.warnings)


async def test_a_folder_in_the_place_of_a_removed_one_is_another(root: Path, state: Path) -> None:
    """The file system gives the new directories the old ones' inode numbers."""
    make_folder(root, "Old")
    deliver(root / ".Old", "1.host")
    async with watching(source_of(root), state) as seen:
        await seen.until(lambda: count(seen) == 1)
        old = seen.view.folders(ACCOUNT)["Old",]
        shutil.rmtree(root / ".Old")
        make_folder(root, "New")
        deliver(root / ".New", "2.host")
        await seen.until(lambda: places(seen) == [("New",)])
        await seen.until(lambda: ("Old",) not in seen.view.folders(ACCOUNT))

    assert seen.view.folders(ACCOUNT)["New",] != old
    assert [e.folder for e in seen.view.history if isinstance(e, FolderDelete)] == [old]


async def test_a_folder_that_dovecot_trashes_is_deleted_with_what_was_in_it(
    root: Path, state: Path
) -> None:
    make_folder(root, "Old")
    deliver(root / ".Old", "1.host")
    async with watching(source_of(root), state) as seen:
        await seen.until(lambda: count(seen) == 1)
        (root / ".Old").rename(root / "..DOVECOT-TRASHED")
        await seen.until(lambda: ("Old",) not in seen.view.folders(ACCOUNT))

    assert [type(e) for e in seen.view.history[-2:]] == [Delete, FolderDelete]


async def test_a_folder_whose_parts_are_replaced_is_listed_again(root: Path, state: Path) -> None:
    make_folder(root, "Work")
    deliver(root / ".Work", "1.host:2,")
    async with watching(source_of(root), state) as seen:
        await seen.until(lambda: count(seen) == 1)
        (root / ".Work" / "cur").rename(root / ".Work" / "cur-old")
        shutil.copytree(root / ".Work" / "cur-old", root / ".Work" / "cur")
        deliver(root / ".Work", "2.host:2,", MAIL + b"2")
        await seen.until(lambda: count(seen) == 2)
        (root / ".Work" / "cur" / "1.host:2,").unlink()
        await seen.until(lambda: count(seen) == 1)

    assert items(seen)[0].endswith("2.host")


def held_digests(seen: Watching) -> set[str]:
    return {held[2] for held in seen.view.messages(ACCOUNT).values()}
