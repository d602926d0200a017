"""Filing in processes of its own: it is most of the work, and must not hold up journalling."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from queue import SimpleQueue

from streambackup.errors import StoreError
from streambackup.realtime.account_worker import Filer
from streambackup.realtime.filing import Filed, FilingRequest
from streambackup.service.filing_process import serve

PROCESSES = min(2, os.cpu_count() or 1)
"""Decoding is most of a service's work; where there is a second core, it is worth two."""
FINISH_S = 5.0
"""How long a filing may go on when the service ends; killed then, the next service repeats it."""


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
    process = context.Process(target=serve, args=served, name="filing", daemon=True)
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
