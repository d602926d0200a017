"""From a change of a watched Maildir to the frame that makes it durable, for each kind of change.

No two changes concern the same mail or folder, so none is recorded together with another. A change
that brings content is durable when both its transaction and the content are.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import statistics
import sys
import time
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from benches._harness import say
from benches._service import Service, Store
from benches._syncs import Syncs, note_syncs
from streambackup.domain.entry import ItemType
from streambackup.events.codec import decode_mailbox_event
from streambackup.events.mailbox import Delete, FolderDelete, MailboxEvent, Put
from streambackup.events.topics import BLOBS, TRANSACTIONS
from streambackup.journal.frame import FrameKind
from streambackup.journal.payload import Blobs, Records, decode_payload
from streambackup.service.wiring import EMBEDDED_PARTITIONS

PROMISED_MS = 1000
"""A change of a watched Maildir is durable within that; docs/architecture.md says so."""
CHANGES_PER_S = 10
ACCOUNT = "ann@example.org"
MAIL_BYTES = 1_000, 8_000


class Kind(StrEnum):
    MAIL_ARRIVED = "mail-arrived"
    FLAGS_CHANGED = "flags-changed"
    MAIL_MOVED = "mail-moved"
    MAIL_DELETED = "mail-deleted"
    FOLDER_CREATED = "folder-created"
    FOLDER_RENAMED = "folder-renamed"
    FOLDER_DELETED = "folder-deleted"


class Change(NamedTuple):
    """A change and the name of the mail's file or of the folder, as it is afterwards."""

    kind: Kind
    name: str


class Found(NamedTuple):
    """How long each change took to be durable, in ms, by kind."""

    waits_ms: dict[Kind, list[float]]

    def described(self) -> dict[str, object]:
        waits_ms = [wait_ms for some in self.waits_ms.values() for wait_ms in some]
        cuts = statistics.quantiles(waits_ms, n=100, method="inclusive")
        return {
            "p50_ms": round(cuts[49], 1),
            "p99_ms": round(cuts[98], 1),
            "slowest_ms": {kind: round(max(some), 1) for kind, some in self.waits_ms.items()},
            "changes": len(waits_ms),
            "promised_ms": PROMISED_MS,
        }

    def broken(self) -> list[str]:
        """One line for each kind of which a change took longer than promised."""
        return [
            f"{kind}: {max(some):.0f} ms are more than the {PROMISED_MS} promised"
            for kind, some in self.waits_ms.items()
            if max(some) > PROMISED_MS
        ]


def watch_maildir(directory: Path, seconds: float) -> Found:
    """Change a Maildir for some *seconds* while a service watches it, all in *directory*."""
    directory.mkdir()
    rounds = max(1, round(seconds * CHANGES_PER_S / len(Kind)))
    user = User(directory / "Maildir", rounds)
    trees = json.dumps([{"path": str(user.root), "account": ACCOUNT}])
    store = Store(directory, ["--set", f"sources.maildir={trees}"])
    store.run("init", "--json")
    syncs_file = store.path.with_name("syncs")
    with note_syncs(syncs_file):
        service = Service(store)
    service.wait_for("streambackup_durable_position", user.records)
    say(f"maildir: {CHANGES_PER_S} changes/s for {seconds:g} s")
    began_ns = user.change_steadily()
    service.wait_for("streambackup_durable_position", user.records)
    service.stop()
    durable_ns = recorded(Syncs(syncs_file, store.path))
    if unrecorded := began_ns.keys() - durable_ns.keys():
        sys.exit(f"never recorded: {', '.join(sorted(name for _, name in unrecorded))}")
    waits_ms: dict[Kind, list[float]] = {kind: [] for kind in Kind}
    for change, at_ns in began_ns.items():
        waits_ms[change.kind].append((durable_ns[change] - at_ns) / 1e6)
    return Found(waits_ms)


class User:
    """Changes the Maildir at *root*, which holds at first what *rounds* of changes need."""

    def __init__(self, root: Path, rounds: int) -> None:
        self.root = root
        self._rounds = rounds
        dice = random.Random(1)
        make_folder(root)
        make_folder(root / ".Kept")
        for number in range(rounds):
            self._write(f"tmp/{Kind.MAIL_ARRIVED}-{number}", dice)
            for kind in (Kind.FLAGS_CHANGED, Kind.MAIL_MOVED, Kind.MAIL_DELETED):
                self._write(f"new/{kind}-{number}", dice)
            make_folder(root / f".before-{number}")
            make_folder(root / f".{Kind.FOLDER_DELETED}-{number}")
        self.records = EMBEDDED_PARTITIONS + 3 + (3 + 2 + 3) * rounds
        """On the bus, once all is recorded: each partition's first, the account and two folders,
        and of each round the mails, the folders and the mails' contents."""

    def change_steadily(self) -> dict[Change, int]:
        """Make all changes; says of each when it began, in ns of the monotonic clock."""
        began = time.monotonic()
        began_ns = {}
        for number in range(self._rounds):
            for place, kind in enumerate(Kind):
                due = began + (number * len(Kind) + place) / CHANGES_PER_S
                time.sleep(max(0, due - time.monotonic()))
                change = Change(kind, f"{kind}-{number}")
                began_ns[change] = time.monotonic_ns()
                self._make(change, number)
        self.records += (len(Kind) + 1) * self._rounds
        return began_ns

    def _make(self, change: Change, number: int) -> None:
        root, name = self.root, change.name
        match change.kind:
            case Kind.MAIL_ARRIVED:
                os.rename(root / "tmp" / name, root / "new" / name)
            case Kind.FLAGS_CHANGED:
                os.rename(root / "new" / name, root / "cur" / f"{name}:2,S")
            case Kind.MAIL_MOVED:
                os.rename(root / "new" / name, root / ".Kept/cur" / f"{name}:2,")
            case Kind.MAIL_DELETED:
                os.unlink(root / "new" / name)
            case Kind.FOLDER_CREATED:
                make_folder(root / f".{name}")
            case Kind.FOLDER_RENAMED:
                os.rename(root / f".before-{number}", root / f".{name}")
            case Kind.FOLDER_DELETED:
                shutil.rmtree(root / f".{name}")

    def _write(self, name: str, dice: random.Random) -> None:
        body = dice.randbytes(dice.randrange(*MAIL_BYTES) // 2).hex()
        (self.root / name).write_text(f"Subject: {name}\n\n{body}\n")


def make_folder(path: Path) -> None:
    """As mail servers make it: first the directory, then what makes a folder of it."""
    path.mkdir()
    for part in ("cur", "new", "tmp"):
        (path / part).mkdir()


def recorded(syncs: Syncs) -> dict[Change, int]:
    """The changes that a journal holds, and when each was durable, in ns of the monotonic clock."""
    content_ns = {
        blob.digest: since_ns
        for _, frame, since_ns in syncs.frames(BLOBS)
        if frame.kind is FrameKind.BLOBS
        for blob in decode_payload(frame.payload, Blobs).stored
    }
    states: dict[str, dict[str, Any]] = {}
    durable_ns = {}
    for event, since_ns in transactions(syncs):
        change = change_told(event, states)
        if isinstance(event, Put):
            states[event.item] = event.state
            since_ns = max(since_ns, content_ns[event.digest] if event.digest else 0)
        if change is not None:
            durable_ns[change] = since_ns
    return durable_ns


def transactions(syncs: Syncs) -> Iterator[tuple[MailboxEvent, int]]:
    for _, frame, since_ns in syncs.frames(TRANSACTIONS):
        if frame.kind is FrameKind.RECORDS:
            for value in decode_payload(frame.payload, Records).values:
                yield decode_mailbox_event(value), since_ns


def change_told(event: MailboxEvent, states: dict[str, dict[str, Any]]) -> Change | None:
    """The change that *event* tells, where the items had *states* before it."""
    match event:
        case Put(type=ItemType.MESSAGE):
            kind = kind_told(states.get(event.item), event.state)
            return Change(kind, file_of(event.item)) if kind else None
        case Put(type=ItemType.FOLDER):
            known = event.item in states
            kind = Kind.FOLDER_RENAMED if known else Kind.FOLDER_CREATED
            return Change(kind, event.state["name"])
        case Delete():
            return Change(Kind.MAIL_DELETED, file_of(event.item))
        case FolderDelete():
            return Change(Kind.FOLDER_DELETED, states[event.folder]["name"])
    return None


def kind_told(before: dict[str, Any] | None, after: dict[str, Any]) -> Kind | None:
    """What happened to a mail that was in one state and is in another."""
    if before is None:
        return Kind.MAIL_ARRIVED
    if before["folder"] != after["folder"]:
        return Kind.MAIL_MOVED
    return Kind.FLAGS_CHANGED if before["flags"] != after["flags"] else None


def file_of(item: str) -> str:
    """The name of the file in which a mail came: a message's item is its folder and that."""
    return item.rpartition("/")[2]
