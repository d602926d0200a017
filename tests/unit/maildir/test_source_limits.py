"""Size, loss and absence: what the Maildir source does when things are not as they should be."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from streambackup.errors import SourceError, UsageError
from streambackup.events.mailbox import Delete
from streambackup.outbox.outbox import Outbox
from streambackup.runtime.clock import SystemClock
from streambackup.sources.maildir.source import COMPLAINTS_MAX, MaildirSource, MaildirTree
from streambackup.sources.maildir.tree import BATCH_MAX
from streambackup.testing.fixed_stream import FixedStream
from tests.corpus.maildirs import SMALL, account_name, make_folder, write_maildirs
from tests.support.maildir import ACCOUNT, source_of
from tests.support.recording_producer import RecordingProducer
from tests.support.watching import TOPICS, Watching, watching

EVENTS_QUEUED_MAX = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())


def deliver(root: Path, first: int, last: int) -> None:
    for number in range(first, last):
        path = root / "tmp" / "x"
        path.write_bytes(b"Subject: %d\n\n" % number)
        path.rename(root / "new" / f"{number}.host")


def count(seen: Watching, account: str = ACCOUNT) -> int:
    return len(seen.view.messages(account))


def facts(root: Path) -> dict[str, tuple[int, ...]]:
    """Everything about every entry of a tree that writing to it would change."""
    found: dict[str, tuple[int, ...]] = {}
    for directory, directories, files in os.walk(root):
        for name in (".", *directories, *files):
            path = os.path.join(directory, name)
            stat = os.lstat(path)
            found[path] = (stat.st_ino, stat.st_mode, stat.st_nlink, stat.st_size)
            found[path] += (stat.st_mtime_ns, stat.st_ctime_ns)
    return found


async def test_a_corpus_of_several_trees_is_listed_once_and_never_written_to(
    tmp_path: Path, state: Path
) -> None:
    write_maildirs(tmp_path / "mail", SMALL)
    trees = [
        MaildirTree(tmp_path / "mail" / account_name(n), f"u{n}") for n in range(SMALL.accounts)
    ]
    before = facts(tmp_path / "mail")

    async with watching(MaildirSource(trees, clock=SystemClock()), state) as seen:
        await seen.until(lambda: sum(count(seen, tree.account) for tree in trees) == SMALL.mails)
    sent = len(seen.view.history)
    source = MaildirSource([*trees, MaildirTree(tmp_path / "more", "more")], clock=SystemClock())
    make_folder(tmp_path / "more", "INBOX")
    async with watching(source, state, seen):
        deliver(tmp_path / "more", 0, 1)
        await seen.until(lambda: count(seen, "more") == 1)

    assert facts(tmp_path / "mail") == before
    assert len(seen.view.history) == sent + 3
    assert source.warnings == []


async def test_a_big_folder_is_listed_in_bounded_batches(root: Path, state: Path) -> None:
    deliver(root, 0, 1_300)

    async with watching(source_of(root), state) as seen:
        await seen.until(lambda: count(seen) == 1_300)
        shutil.rmtree(root / "new")
        (root / "new").mkdir()
        await seen.until(lambda: count(seen) == 0)

    assert max(map(len, seen.batches)) <= BATCH_MAX


def costs(tmp_path: Path, size: int) -> dict[str, int]:
    command = [sys.executable, "-m", "tests.support.maildir_costs", str(tmp_path), str(size)]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    counted: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return counted


def test_a_change_costs_the_same_in_a_small_mailbox_and_in_a_big_one(tmp_path: Path) -> None:
    small, big = costs(tmp_path, 3), costs(tmp_path, 2_000)

    assert small["directories_listed"] == big["directories_listed"] == 0
    assert small["memory_scans"] == big["memory_scans"] == 0
    assert 0 < big["memory_keys"] <= 2 * small["memory_keys"]
    assert 0 < big["files_opened"] <= 2 * small["files_opened"]


async def test_what_the_kernel_could_not_queue_is_found_by_listing(root: Path, state: Path) -> None:
    """A mail in a burst of more events than fit into the queue of a source that is not drawn from,
    then one that was removed in another.
    """
    noise = root / "new" / "noise"
    deliver(root, 0, 1)
    source = source_of(root)
    outbox = Outbox(state, source.name, RecordingProducer(), stream=FixedStream(TOPICS))
    batches = source.observe(outbox.memory)
    kinds: list[str | None] = []

    async def draw(operation: str, item: str) -> None:
        async for batch in batches:
            await outbox.record(batch)
            kinds.extend(o.operation for o in batch if o.item.endswith(item))
            if operation in kinds:
                return

    await draw("put", "/0.host")
    for _ in range(EVENTS_QUEUED_MAX // 2 + 1):
        noise.touch()
        noise.unlink()
    deliver(root, 1, 2)
    (root / "new" / "0.host").unlink()
    with capture_logs() as logs:
        await draw("put", "/1.host")
        await draw("delete", "/0.host")
    await batches.aclose()
    outbox.close()

    assert "maildir_events_lost" in {line["event"] for line in logs}
    assert kinds == ["put", "put", "delete"]


def leave(root: Path, *, mount_point: bool) -> None:
    """The tree goes away; where it was mounted the empty directory below is left."""
    os.rename(root, f"{root}.gone")
    if mount_point:
        os.mkdir(root)


@pytest.mark.parametrize("mount_point", [False, True])
async def test_a_tree_that_vanishes_is_an_error_and_no_deletion(
    root: Path, state: Path, mount_point: bool
) -> None:
    async def watch_for_ever() -> None:
        async with watching(source_of(root), state, seen):
            await seen.until(lambda: count(seen) == 3)
            leave(root, mount_point=mount_point)
            await asyncio.Event().wait()

    deliver(root, 0, 3)
    seen = Watching()
    with pytest.raises(ExceptionGroup) as failed:
        await watch_for_ever()

    assert failed.group_contains(SourceError, match="cannot be read")
    assert not [event for event in seen.view.history if isinstance(event, Delete)]


@pytest.mark.parametrize("mount_point", [False, True])
async def test_a_tree_that_is_not_there_at_the_start_is_an_error_and_no_deletion(
    root: Path, state: Path, mount_point: bool
) -> None:
    async def watch_for_ever() -> None:
        async with watching(source_of(root), state, seen):
            await asyncio.Event().wait()

    deliver(root, 0, 3)
    async with watching(source_of(root), state) as seen:
        await seen.until(lambda: count(seen) == 3)
    leave(root, mount_point=mount_point)
    with pytest.raises(ExceptionGroup) as failed:
        await watch_for_ever()

    assert failed.group_contains(SourceError, match="cannot be read")
    assert not [event for event in seen.view.history if isinstance(event, Delete)]


async def test_the_other_trees_go_on_and_one_that_comes_back_is_listed(
    tmp_path: Path, state: Path
) -> None:
    for name in ("a", "b"):
        make_folder(tmp_path / name, "INBOX")
        deliver(tmp_path / name, 0, 2)
    trees = [MaildirTree(tmp_path / name, name) for name in ("a", "b")]
    source = MaildirSource(trees, clock=SystemClock(), look_again_s=0.01)
    async with watching(source, state) as seen:
        await seen.until(lambda: count(seen, "a") == count(seen, "b") == 2)
        (tmp_path / "a").rename(tmp_path / "away")
        deliver(tmp_path / "b", 2, 3)
        await seen.until(lambda: count(seen, "b") == 3)
        (tmp_path / "away" / "new" / "0.host").unlink()
        deliver(tmp_path / "away", 2, 4)
        deliver(tmp_path / "b", 3, 4)
        await seen.until(lambda: count(seen, "b") == 4)
        warnings = source.warnings
        assert count(seen, "a") == 2
        (tmp_path / "away").rename(tmp_path / "a")
        await seen.until(lambda: count(seen, "a") == 3)
        deliver(tmp_path / "a", 4, 5)
        await seen.until(lambda: count(seen, "a") == 4)

    assert len(warnings) == 1
    assert warnings[0].startswith("a: ")
    assert source.warnings == []


@pytest.mark.parametrize(
    ("first", "second"), [("x", "x"), ("x", "x/.y"), ("x/sub", "x"), ("link", "x")]
)
def test_trees_in_each_other_are_refused(tmp_path: Path, first: str, second: str) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "x")
    trees = [MaildirTree(tmp_path / first, "a"), MaildirTree(tmp_path / second, "b")]

    with pytest.raises(UsageError, match="inside"):
        MaildirSource(trees, clock=SystemClock())


def test_trees_of_one_account_are_refused(tmp_path: Path) -> None:
    trees = [MaildirTree(tmp_path / name, "a") for name in ("x", "y")]

    with pytest.raises(UsageError, match="same account"):
        MaildirSource(trees, clock=SystemClock())


async def test_of_very_many_files_that_cannot_be_read_the_log_names_all(
    root: Path, state: Path
) -> None:
    for number in range(COMPLAINTS_MAX + 5):
        (root / "cur" / f"{number}.host").symlink_to("elsewhere")
    source = source_of(root)
    with capture_logs() as logged:
        async with watching(source, state) as seen:
            deliver(root, 0, 1)
            await seen.until(lambda: count(seen) == 1)

    named = {line["path"] for line in logged if line["event"] == "maildir_entry_not_read"}
    assert len(named) == COMPLAINTS_MAX + 5
    assert len(source.warnings) == COMPLAINTS_MAX + 1
    assert "in the log" in source.warnings[-1]
