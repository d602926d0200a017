"""What the tests of a restore run share: a mailbox, and a run of it into a target."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from streambackup.restore.id_map import IdMap, id_map_path
from streambackup.restore.report import RestoreReport
from streambackup.restore.run import Progress, RestoreRun, prepare
from streambackup.restore.select import AsOf, Scope, WholeAccount
from streambackup.targets.files import FilesTarget
from streambackup.targets.maildir import MaildirTarget
from streambackup.targets.port import Target
from streambackup.testing.memory_store import MemoryStore

STORE = "5f1e"


class Kind(NamedTuple):
    """A kind of target, and where it keeps what it restored."""

    name: str
    open: Callable[[Path], Target]


KINDS = [
    Kind("files", lambda root: FilesTarget(root, "anna")),
    Kind("maildir", lambda root: MaildirTarget(root, "anna")),
]


def mailbox(messages: int) -> MemoryStore:
    """An account with an inbox and that many messages, each with content of its own."""
    store = MemoryStore()
    store.put("anna", "in", "folder", {"name": "INBOX", "use": "inbox"}, time_ms=100)
    for number in range(messages):
        state = {"folder": "in", "subject": f"mail {number}", "flags": ["seen"]}
        store.put("anna", f"m{number}", "message", state, content(number), time_ms=200 + number)
    return store


def content(number: int) -> bytes:
    return f"Subject: mail {number}\r\n\r\nbody\r\n".encode()


def start(
    store: MemoryStore,
    target: Target,
    root: Path,
    scope: Scope | None = None,
    as_of: AsOf | None = None,
    *,
    verify: bool = False,
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[Progress], None] = lambda _: None,
) -> RestoreRun:
    """A run of what is asked for, with the id map in *root*."""
    plan, history = prepare(
        store, "anna", scope or WholeAccount(), as_of or AsOf(), store=STORE, target=target
    )
    id_map = IdMap(id_map_path(root, STORE), account="anna", into=target.account)
    return RestoreRun(
        plan,
        history,
        contents=store,
        target=target,
        id_map=id_map,
        verify=verify,
        stop=stop,
        progress=progress,
    )


def restore(
    store: MemoryStore,
    target: Target,
    root: Path,
    scope: Scope | None = None,
    as_of: AsOf | None = None,
    *,
    verify: bool = False,
) -> RestoreReport:
    """Run it and check that its report adds up."""
    run = start(store, target, root, scope, as_of, verify=verify)
    run.run()
    return added_up(run.report())


def added_up(report: RestoreReport) -> RestoreReport:
    parts = report.restored + report.skipped + len(report.unrestored) + report.remaining
    assert parts == report.selected
    return report


def contents_below(root: Path) -> list[bytes]:
    """What the messages restored below *root* hold, in order."""
    return sorted(
        path.read_bytes()
        for path in root.rglob("*")
        if path.suffix == ".eml" or path.parent.name in ("cur", "new")
    )
