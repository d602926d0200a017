"""How a command looks into the store: what it shows is written down before it is shown."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from streambackup.cli.common import Common
from streambackup.reading.store_reader import StoreReader
from streambackup.runtime.audit import Concerned
from streambackup.runtime.clock import SystemClock
from streambackup.runtime.disk import Disk
from streambackup.service.lookup import check_text, open_audit_log


@contextlib.contextmanager
def asking(
    common: Common, command: str, arguments: Mapping[str, object], concerned: Concerned
) -> Iterator[StoreReader]:
    """A reader of the store, for a *command* that the audit log knows of.

    Raises:
        UsageError: an id is no text. StoreError: there is no store, or the audit log cannot be
        written.
    """
    for id in (*concerned.accounts, *concerned.items):
        check_text(id)
    settings = common.settings().store
    reader = StoreReader(settings.path)
    audit = open_audit_log(settings, disk=Disk(), clock=SystemClock())
    with audit.recorded(command, arguments, concerned):
        yield reader
