"""A real Maildir that other programs change, watched by a real service."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from streambackup.runtime.clock import SystemClock
from tests.corpus.mailbox_writer import Snapshot, Writer, snapshot_of
from tests.support.backup import Backup
from tests.support.recorded import recorded_folders, recorded_snapshot
from tests.support.running import Running

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(180)]

ANN = "ann@example.org"
APART_MS = 150
"""More than a moment, and more than the kernel's clock for files lags behind."""


class Past:
    """What the Maildir at *root* held at the instants noted, when the store knew all of it."""

    def __init__(self, backup: Backup, root: Path) -> None:
        self._backup = backup
        self._root = root
        self.noted: dict[int, Snapshot] = {}

    def wait_until_recorded(self, running: Running) -> Snapshot:
        held = snapshot_of(self._root)
        running.wait_until(
            lambda: recorded_snapshot(self._backup.reader(), ANN) == held, "all was recorded"
        )
        return held

    def note(self, running: Running) -> None:
        """Note the Maildir as it is now; on return the next change is of a later moment."""
        held = self.wait_until_recorded(running)
        clock = SystemClock()
        instant_ms = clock.now_ms()
        self.noted[instant_ms] = held
        running.wait_until(lambda: clock.now_ms() > instant_ms + APART_MS, "time went on")


def folders_of(user: Writer) -> set[str]:
    """The folders that *user* sees, those that only stand above others among them."""
    found = {"INBOX"}
    for name in user.folders():
        levels = name.split(".")
        found |= {".".join(levels[:depth]) for depth in range(1, len(levels) + 1)}
    return found


@pytest.mark.row("F024", part="every kind of change of mail and folders")
def test_every_kind_of_change_is_recorded_as_it_happens(tmp_path: Path) -> None:
    """Arrival, marking, moving and deleting of mails; making, renaming and deleting of folders."""
    root = tmp_path / "Maildir"
    user = Writer(root)
    backup = Backup(tmp_path / "backup", maildirs={ANN: root}).init()
    past = Past(backup, root)
    changes: list[Callable[[], str]] = [
        *[user.deliver] * 4,
        *[user.mark] * 3,
        user.create_folder,
        user.create_folder,
        *[user.move] * 3,
        user.delete,
        user.rename_folder,
        user.deliver,
        user.delete_folder,
    ]
    with backup.service() as running:
        for change in changes:
            change()
            assert past.wait_until_recorded(running) == user.snapshot()
            running.wait_until(
                lambda: recorded_folders(backup.reader(), ANN) == folders_of(user),
                "the folders were recorded",
            )
    states = [s for i in backup.reader().history(ANN).items.values() for s in i.states]
    assert {"message", "folder"} <= {state.type for state in states}
    assert sum(state.deleted for state in states) >= 2


class Sync:
    """``mbsync`` between the Maildir of a server and that of somebody's laptop, both ways."""

    def __init__(self, root: Path, near: Path, far: Path) -> None:
        self._root = root
        self._config = root / "mbsyncrc"
        (root / "sync").mkdir()
        stores = "".join(
            f"MaildirStore {name}\nInbox {path}\nSubFolders Maildir++\n\n"
            for name, path in (("near", near), ("far", far))
        )
        self._config.write_text(
            f"{stores}Channel both\nNear :near:\nFar :far:\nPatterns *\n"
            f"Create Both\nRemove Both\nExpunge Both\nSyncState {root}/sync/\n"
        )

    def run(self) -> None:
        command = ["mbsync", "-q", "-c", str(self._config), "both"]
        environment = {"HOME": str(self._root), "PATH": "/usr/bin:/bin"}
        done = subprocess.run(command, env=environment, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.mark.tool("mbsync")
def test_a_living_mailbox_comes_back_as_it_was_at_five_instants(tmp_path: Path) -> None:
    """Changed by Python's ``mailbox`` and by ``mbsync``, the service killed in between."""
    near, far = tmp_path / "near", tmp_path / "far"
    backup = Backup(tmp_path / "backup", maildirs={ANN: near}).init()
    past = Past(backup, near)
    user = Writer(near, seed=1)
    steps(user, 12)
    with backup.service() as running:
        past.note(running)
        steps(user, 15)
        past.note(running)
        steps(user, 7)
        running.kill()
    steps(user, 5)
    with backup.service() as running:
        past.note(running)
        laptop = Writer(far, seed=2)
        sync = Sync(tmp_path, near, far)
        for change in (laptop.deliver, laptop.deliver, laptop.create_folder, laptop.deliver):
            change()
        sync.run()
        past.note(running)
        user, laptop = Writer(near, seed=3), Writer(far, seed=4)
        for change in (laptop.mark, laptop.delete, laptop.mark, user.mark, user.deliver):
            change()
        sync.run()
        past.note(running)
    assert len(set(past.noted.values())) == len(past.noted) == 5
    for instant_ms, held in past.noted.items():
        expect_restored(backup, instant_ms, held, tmp_path / str(instant_ms))


def steps(user: Writer, count: int) -> None:
    for _ in range(count):
        user.step()


def expect_restored(backup: Backup, instant_ms: int, held: Snapshot, place: Path) -> None:
    """A Maildir and a tree of files restored as of an instant hold what the mailbox held."""
    words = "restore", "account", ANN, "--at", instant_ms, "--verify", "--to"
    report = backup.json(*words, place / "maildir", "--form", "maildir")
    assert (report["complete"], report["doubts"]) == (True, [])
    assert snapshot_of(place / "maildir") == held
    backup.json(*words, place / "files")
    files = [hashlib.sha256(p.read_bytes()).hexdigest() for p in (place / "files").rglob("*.eml")]
    assert sorted(files) == sorted(digest for _, _, digest in held)


def test_what_is_restored_into_the_watched_maildir_is_a_new_item(tmp_path: Path) -> None:
    root = tmp_path / "Maildir"
    user = Writer(root)
    user.deliver()
    user.deliver()
    backup = Backup(tmp_path / "backup", maildirs={ANN: root}).init()
    past = Past(backup, root)
    with backup.service() as running:
        before = past.wait_until_recorded(running)
        user.delete()
        past.wait_until_recorded(running)
        report = backup.json("restore", "undelete", ANN, "--since", "1h ago", "--verify")
        assert (report["restored"], report["place"]) == (1, str(root))
        assert past.wait_until_recorded(running) == before
    items = backup.reader().history(ANN).items
    messages = {i: h for i, h in items.items() if h.states[0].type == "message"}
    deleted = [h for h in messages.values() if h.states[-1].deleted]
    assert (len(messages), len(deleted)) == (3, 1)
    again = [h for h in messages.values() if h.states[0].digest == deleted[0].states[0].digest]
    assert len(again) == 2
    repeated = backup.json("restore", "undelete", ANN, "--since", "1h ago")
    assert (repeated["restored"], repeated["skipped"]) == (0, 1)
