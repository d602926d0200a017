"""Maildir++ trees, and watchers that lose what the kernel says."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable
from pathlib import Path

from inotify_simple import Event as RawEvent
from inotify_simple import flags

from streambackup.domain.mail_flags import MAILDIR_LETTERS
from streambackup.domain.modified_utf7 import encode_modified_utf7
from streambackup.runtime.clock import SystemClock
from streambackup.sources.maildir.source import MaildirSource, MaildirTree
from streambackup.sources.maildir.watcher import Watcher
from tests.corpus.mailbox_writer import Snapshot
from tests.support.mailbox_view import MailboxView

ACCOUNT = "ann"


class LossyWatcher(Watcher):
    """Loses everything that has happened whenever ``loses`` is set, and says so,
    as a kernel whose queue overflowed.
    """

    loses = False

    def _read(self) -> Iterable[RawEvent]:
        found = super()._read()
        if self.loses and found:
            self.loses = False
            return [RawEvent(-1, flags.Q_OVERFLOW, 0, "")]
        return found


def source_of(root: Path, watcher: type[Watcher] | None = None) -> MaildirSource:
    trees = [MaildirTree(root, ACCOUNT)]
    return MaildirSource(trees, clock=SystemClock(), watcher=watcher or Watcher, look_again_s=0.05)


def snapshot_of_view(view: MailboxView) -> Snapshot:
    """What *view* holds, as ``snapshot_of`` reads it from the tree itself."""
    return frozenset(
        (
            "INBOX" if path == ("INBOX",) else ".".join(map(encode_modified_utf7, path)),
            "".join(sorted(MAILDIR_LETTERS[flag] for flag in message_flags)),
            base64.b64decode(digest.replace(",", "/")).hex(),
        )
        for path, message_flags, digest in view.messages(ACCOUNT).values()
    )


def folders_on_disk(root: Path) -> set[str]:
    return {entry.name[1:] for entry in os.scandir(root) if entry.name.startswith(".")}
