"""Filing in processes of its own: it is most of the work, and must not hold up journalling."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import multiprocessing
import os
import signal
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from queue import SimpleQueue

from streambackup.errors import StoreError
from streambackup.reading.account_info import write_account_infos
from streambackup.realtime.account_worker import Filer
from streambackup.realtime.filing import Filed, FilingRequest, file_partition
from streambackup.runtime.disk import Disk
from streambackup.runtime.memory import settle_for_batches

PROCESSES = min(2, os.cpu_count() or 1)
"""Decoding is most of a service's work; where there is a second core, it is worth two."""
FINISH_S = 5.0
"""How long a filing may go on when the service ends; killed then, the next service repeats it."""

_SET_PARENT_DEATH_SIGNAL = 1


@contextlib.contextmanager
def filing_processes(count: int = PROCESSES) -> Iterator[Filer]:
    """A filer that works in *count* child processes, each on one request after the other, until the
    body ends.

    They talk through pipes: the standard library's pool of processes needs named semaphores as
    well, of which a warning is left on standard error when the service is killed.
    """
    children = [_start() for _ in range(count)]
    idle: SimpleQueue[Connection] = SimpleQueue()
    for _, pipe in children:
        idle.put(pipe)
    threads = ThreadPoolExecutor(count, thread_name_prefix="filing")

    def ask(request: FilingRequest) -> Filed:
        pipe = idle.get()
        try:
            return _ask(pipe, request)
        finally:
            idle.put(pipe)

    def file(request: FilingRequest) -> asyncio.Future[Filed]:
        loop = asyncio.get_running_loop()
        # Whoever no longer waits for it does not stop what has been begun.
        return asyncio.shield(loop.run_in_executor(threads, ask, request))

    try:
        yield file
    finally:
        closed = [threads.submit(lambda: idle.get().close()) for _ in children]
        if wait(closed, timeout=FINISH_S).not_done:
            for process, _ in children:
                process.kill()
        threads.shutdown()
        for process, _ in children:
            process.join()


def _start() -> tuple[SpawnProcess, Connection]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    served = (theirs, os.getpid())
    process = context.Process(target=_serve, args=served, name="filing", daemon=True)
    process.start()
    theirs.close()
    return process, ours


def _ask(filer: Connection, request: FilingRequest) -> Filed:
    try:
        filer.send(request)
        outcome = filer.recv()
    except (EOFError, OSError) as error:
        raise StoreError(
            "the filing process died",
            hint="Was it out of memory? Nothing is lost: start the service again.",
        ) from error
    if isinstance(outcome, Exception):
        raise outcome
    assert isinstance(outcome, Filed)
    return outcome


def _serve(service: Connection, parent: int) -> None:
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
