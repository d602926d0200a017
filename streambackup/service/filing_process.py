"""What runs in a filing process. It imports little, to begin soon and to take little memory."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import traceback
from multiprocessing.connection import Connection

from streambackup.reading.account_info import write_account_infos
from streambackup.realtime.filing import Filed, FilingRequest, file_partition
from streambackup.runtime.disk import Disk
from streambackup.runtime.memory import settle_for_batches

_SET_PARENT_DEATH_SIGNAL = 1


def serve(service: Connection, parent: int) -> None:
    """Answer every request with what was filed, or the error that kept it from being."""
    _follow(parent)
    settle_for_batches()
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            request: FilingRequest = service.recv()
            outcome: Filed | Exception
            try:
                outcome = file_and_describe(request)
            except Exception as error:
                error.add_note(traceback.format_exc())
                outcome = error
            service.send(outcome)


def _follow(parent: int) -> None:
    """Signals are the parent's affair; without it there is nothing left to do."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def file_and_describe(request: FilingRequest) -> Filed:
    """File a partition, and derive ``account_info`` of the accounts whose own item changed."""
    disk = Disk()

    def describe(accounts: tuple[str, ...]) -> None:
        write_account_infos(request.root, accounts, disk)

    return file_partition(request, disk, describe)
