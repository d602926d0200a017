"""Real processes: restores that are killed at every step, and restores at the same time."""

from __future__ import annotations

import multiprocessing
import signal
from itertools import count
from multiprocessing.context import ForkProcess
from multiprocessing.queues import SimpleQueue
from pathlib import Path

import pytest

from streambackup.restore.id_map import IdMap, id_map_path
from streambackup.restore.report import RestoreReport
from streambackup.restore.run import BATCH_ITEMS_MAX, RestoreRun, prepare
from streambackup.restore.select import AsOf, WholeAccount
from streambackup.runtime.disk import Disk
from streambackup.targets.files import FilesTarget
from streambackup.targets.maildir import MaildirTarget
from streambackup.targets.port import Target
from streambackup.testing.dying_disk import DyingDisk
from streambackup.testing.memory_store import MemoryStore
from tests.unit.restore.restoring import STORE, added_up, content, contents_below, mailbox

CALLS_MAX = 200
processes = multiprocessing.get_context("fork")

each_kind = pytest.mark.parametrize("kind", [FilesTarget, MaildirTarget])


def restore_on(
    disk: Disk, kind: type[FilesTarget | MaildirTarget], root: Path, store: MemoryStore
) -> RestoreReport:
    target: Target = kind(root, "anna", disk=disk)
    plan, history = prepare(store, "anna", WholeAccount(), AsOf(), store=STORE, target=target)
    id_map = IdMap(id_map_path(root, STORE), account="anna", into="anna", disk=disk)
    run = RestoreRun(plan, history, contents=store, target=target, id_map=id_map, verify=True)
    run.run()
    return added_up(run.report())


def killed_at(
    call: int, kind: type[FilesTarget | MaildirTarget], root: Path, store: MemoryStore
) -> bool:
    """Restore in a process of its own that dies at its *call*-th call; False if it ended first."""
    child = processes.Process(target=restore_on, args=(DyingDisk(call), kind, root, store))
    child.start()
    child.join()
    assert child.exitcode in (0, -signal.SIGKILL)
    return child.exitcode != 0


@pytest.mark.crash
@each_kind
def test_killed_at_any_call_the_next_run_completes_without_doubles(
    kind: type[FilesTarget | MaildirTarget], tmp_path: Path
) -> None:
    store = mailbox(6)
    store.put("anna", "w", "folder", {"name": "Work"}, time_ms=300)
    everything = [content(number) for number in range(6)]
    for call in count(1):
        root = tmp_path / str(call)
        if not killed_at(call, kind, root, store):
            break
        assert set(contents_below(root)) <= set(everything)
        report = restore_on(Disk(), kind, root, store)
        assert report.complete
        assert contents_below(root) == everything
        assert restore_on(Disk(), kind, root, store).skipped == report.selected
        assert not list(root.rglob("*restoring*/*"))
        assert not [path for path in root.rglob("tmp/*") if path.is_file()]
    assert 30 < call < CALLS_MAX


@pytest.mark.crash
def test_killed_again_and_again_it_completes(tmp_path: Path) -> None:
    """Each repeat gets a little further than the one before."""
    store = mailbox(6)
    kills = 0
    while killed_at(5 + kills, FilesTarget, tmp_path, store):
        kills += 1
    assert kills > 3
    assert contents_below(tmp_path) == [content(number) for number in range(6)]


@pytest.mark.crash
@each_kind
def test_two_restores_at_once_bring_everything_once(
    kind: type[FilesTarget | MaildirTarget], tmp_path: Path
) -> None:
    messages = 3 * BATCH_ITEMS_MAX
    store = mailbox(messages)
    told: SimpleQueue[bytes] = processes.SimpleQueue()
    children = [beginning(kind, tmp_path, store, told) for _ in range(2)]
    reports = [told.get() for _ in children]
    for child in children:
        child.join()
    counts = [tuple(map(int, report.split())) for report in reports]
    assert sum(restored for restored, _ in counts) == messages + 1
    assert [restored + skipped for restored, skipped in counts] == [messages + 1] * 2
    assert contents_below(tmp_path) == sorted(content(number) for number in range(messages))


def beginning(
    kind: type[FilesTarget | MaildirTarget],
    root: Path,
    store: MemoryStore,
    told: SimpleQueue[bytes],
) -> ForkProcess:
    """A process that restores into *root* and tells how many items it restored and skipped."""

    def run() -> None:
        report = restore_on(Disk(), kind, root, store)
        told.put(f"{report.restored} {report.skipped}".encode())

    child = processes.Process(target=run)
    child.start()
    return child
