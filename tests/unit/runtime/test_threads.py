"""Blocking iterators in coroutines."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from streambackup.errors import StoreError
from streambackup.runtime.threads import iterate_in_thread


async def test_what_the_iterator_gives_comes_in_order() -> None:
    assert [item async for item in iterate_in_thread(iter(range(1000)))] == list(range(1000))


async def test_what_it_raises_is_raised_behind_what_it_gave() -> None:
    def breaks() -> Iterator[int]:
        yield 1
        raise StoreError("broken")

    drawn = iterate_in_thread(breaks())
    assert await anext(drawn) == 1
    with pytest.raises(StoreError, match="broken"):
        await anext(drawn)


def test_waiting_for_input_does_not_keep_the_process_from_ending() -> None:
    code = (
        "import asyncio, os\n"
        "from streambackup.runtime.threads import iterate_in_thread\n"
        "async def main():\n"
        "    async for item in iterate_in_thread(iter(lambda: os.read(0, 1), b'')):\n"
        "        print(item, flush=True)\n"
        "asyncio.run(main())\n"
    )
    reader, writer = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=reader,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        os.write(writer, b"x")
        assert process.stdout is not None
        assert process.stdout.readline() == b"b'x'\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == -signal.SIGINT
    os.close(reader)
    os.close(writer)
