"""Filing in a process of its own: it is as much work as journalling, and must not hold it up."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import multiprocessing
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from streambackup.errors import StoreError
from streambackup.reading.account_info import write_account_infos
from streambackup.realtime.account_worker import Filer
from streambackup.realtime.filing import Filed, FilingRequest, file_partition
from streambackup.runtime.disk import Disk

_SET_PARENT_DEATH_SIGNAL = 1


@contextlib.contextmanager
def filing_process() -> Iterator[Filer]:
    """A filer that works in a child process, one request after the other, until the body ends."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=_prepare) as pool:

        def file(request: FilingRequest) -> asyncio.Future[Filed]:
            loop = asyncio.get_running_loop()
            filed: asyncio.Future[Filed] = loop.create_future()
            done = loop.run_in_executor(pool, file_and_describe, request)
            done.add_done_callback(lambda done: _pass_on(done, filed))
            return filed

        yield file


def _pass_on(done: asyncio.Future[Filed], filed: asyncio.Future[Filed]) -> None:
    """Give *filed* the outcome of *done*, in words a user can act on."""
    error = done.exception()
    if isinstance(error, BrokenProcessPool):
        error = StoreError(
            "the filing process died",
            hint="Was it out of memory? Nothing is lost: start the service again.",
        )
    if filed.cancelled():
        return
    if error is None:
        filed.set_result(done.result())
    else:
        filed.set_exception(error)


def _prepare() -> None:
    """Signals are the parent's affair; without a parent there is nothing left to do."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() == 1:
        os._exit(0)


def file_and_describe(request: FilingRequest) -> Filed:
    """File a partition, then derive ``account_info`` of the accounts whose own item changed."""
    disk = Disk()
    filed = file_partition(request, disk)
    write_account_infos(request.root, filed.described, disk)
    return filed
